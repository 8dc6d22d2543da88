import type { LinuxMachine, MachineSpecification } from '@heki/machine';
import type { Gfn, VirtualAddress } from '@heki/physical-memory';
import { beginLife, runSteps, type Step } from '@heki/scenario';
import { describe, expect, test } from 'vitest';
import type { HypervisorName } from '../hypervisor-names.ts';
import { HYPERVISORS } from '../hypervisors.ts';
import { createBootMachine } from './boot-machine.ts';

/** A kernel of LVBS that has booted, and its life. */
function booted({
  hypervisor = 'hyperv-lvbs',
  ...specification
}: MachineSpecification & { readonly hypervisor?: HypervisorName } = {}) {
  const functions: string[] = [];
  const machine = createBootMachine(
    {
      machine: { hypervisor, memory: '64MiB', ...specification },
      // Machines of scenarios with an attack can be attacked.
      steps: [{ do: 'attack', how: 'clear-smep' }],
    },
    HYPERVISORS[hypervisor],
    {
      onEvent({ from, event }) {
        if (from === 'hypervisor' && event.type === 'secure-call' && 'function' in event) {
          functions.push(`0x${Number(event.function).toString(16)}`);
        }
      },
    },
  );
  expect(machine.kernel.boot().kind).toBe('done');
  const life = beginLife(machine);
  const take = (...steps: Step[]) => runSteps(life, steps).map(({ verdict, reason }) => reason ?? verdict);
  return { machine, life, take, functions };
}

/** `rwx` of the kernel for the page at an address. */
function granted({ kernel, virtualMachine, memory }: LinuxMachine, address: VirtualAddress | undefined) {
  const words = memory.page(kernel.pageTableRoot);
  expect(words).toBeDefined();
  const frame = frameAt(kernel, memory, address ?? (0n as VirtualAddress));
  const rights = virtualMachine.effectiveRights(frame);
  return [rights?.read && 'r', rights?.write && 'w', rights?.supervisorExecute && 'x']
    .map((letter) => letter || '-')
    .join('');
}

/** The frame behind a page that a 4-KiB leaf maps. */
function frameAt(
  { pageTableRoot }: LinuxMachine['kernel'],
  memory: LinuxMachine['memory'],
  address: VirtualAddress,
): Gfn {
  let frame: number = pageTableRoot;
  for (let level = 4; level >= 1; level--) {
    const slot = 2 * Number((address >> BigInt(3 + 9 * level)) & 511n);
    const page = memory.page(frame as Gfn);
    frame = Math.floor((page?.[slot] ?? 0) / 4096) + ((page?.[slot + 1] ?? 0) % 2 ** 20) * 2 ** 20;
  }
  return frame as Gfn;
}

describe('a kernel of LVBS', () => {
  test('loads jump labels, protects memory and ends boot, and asks for nothing more by page list', () => {
    const { functions, machine, take } = booted();
    // LOCK_REGS comes with late init, LOAD_KDATA before it.
    expect(functions).toEqual(['0x1ffe5', '0x1ffe2', '0x1ffe4', '0x1ffe3']);
    functions.length = 0;
    expect(take({ do: 'vmalloc', name: 'a', pages: 4 }, { do: 'set-memory', name: 'a', what: 'ro' })).toEqual(
      ['works', 'works'],
    );
    expect(functions).toEqual([]);
    expect(machine.heki.secureKernel).toBeDefined();
  });

  test('has a signed module validated, and its static calls patched by the secure kernel', () => {
    const { life, machine, take, functions } = booted();
    functions.length = 0;
    expect(take({ do: 'load-module', name: 'm', staticCalls: 2 })).toEqual(['works']);
    // VALIDATE_MODULE, three steps for each of two calls, FREE_MODULE_INIT.
    expect(functions).toEqual(['0x1ffe6', ...Array.from({ length: 6 }, () => '0x1ffeb'), '0x1ffe7']);
    const memory = life.modules.get('m')?.memory;
    const kinds = ['text', 'rodata', 'data', 'ro_after_init'] as const;
    expect(kinds.map((kind) => granted(machine, memory?.get(kind)?.address))).toEqual([
      'r-x',
      'r--',
      'rw-',
      'r--',
    ]);
    expect(take({ do: 'attack', how: 'store-text-after-pte-edit', on: 'm' })[0]).toMatch(/#GP\(0\)/);
    expect(take({ do: 'unload-module', name: 'm' }, { do: 'load-module', name: 'm' })).toEqual([
      'works',
      'works',
    ]);
  });

  test('cannot load an unsigned module, and goes on', () => {
    const { take, machine } = booted();
    const free = machine.kernel.freeFrames;
    expect(
      take(
        { do: 'load-module', name: 'm', signed: false },
        { do: 'trace', on: 'm' },
        { do: 'load-module', name: 'good' },
      ),
    ).toEqual([
      '-13: the secure kernel does not know module m',
      'there is no module m: it could not be made',
      'works',
    ]);
    expect(take({ do: 'unload-module', name: 'good' })).toEqual(['works']);
    // What is left is page tables.
    expect(free - machine.kernel.freeFrames).toBeLessThan(8);
  });

  test('switches a static key of which the secure kernel knows, there and back, and patches no other text', () => {
    const { take } = booted();
    expect(
      take(
        { do: 'static-key', on: 'kernel', enabled: true },
        { do: 'static-key', on: 'kernel', enabled: false },
        { do: 'trace', on: 'kernel' },
        { do: 'probe', on: 'kernel' },
      ),
    ).toEqual(['works', 'works', '-1: Heki refused what pages gained', '-1: Heki refused what pages gained']);
  });

  test('compiles no eBPF programs, because unsigned code does not run', () => {
    expect(booted().take({ do: 'load-bpf', name: 'p' })).toEqual(['-1: Heki refused what pages gained']);
  });

  test('hands over to a kernel that is signed', () => {
    expect(booted().take({ do: 'kexec' })).toEqual(['works']);
  });

  test('cannot make rodata writable by asking, as that of the series can', () => {
    const opened = (hypervisor: HypervisorName) => {
      const { machine } = booted({ hypervisor });
      const { kernel } = machine;
      kernel.setToReadonly = false;
      return kernel.setMemory('rw', kernel.address('__start_rodata'), 1).kind;
    };
    expect([opened('hyperv'), opened('hyperv-lvbs'), opened('kvm')]).toEqual(['done', 'error', 'error']);
  });

  test('is that of the series under its own profile', () => {
    const { machine, functions } = booted({ profile: 'rfc-v2' });
    expect(machine.heki.secureKernel).toBeUndefined();
    expect(functions).toEqual(['0x1ffe2', '0x1ffe4']);
  });

  test.each([4, 5] as const)('lives with %i-level paging, KASLR and several processors', (levels) => {
    const { take } = booted({ levels, kaslrSeed: 5, vcpus: 2 });
    expect(
      take(
        { do: 'load-module', name: 'm', staticCalls: 1 },
        { do: 'cpu-down', cpu: 1 },
        { do: 'cpu-up', cpu: 1 },
        { do: 'churn-modules', count: 3 },
      ),
    ).toEqual(['works', 'works', 'works', 'works']);
  });
});

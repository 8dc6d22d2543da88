import { gfn, type VirtualAddress } from '@heki/physical-memory';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { after, bootKernel, done } from '../testing/running-kernel.ts';
import { trampolineRoot } from './trampoline.ts';

describe('several processors', () => {
  test('come up during boot, each through real mode, protected mode and long mode', () => {
    const instructions: string[] = [];
    const running = bootKernel({
      cpus: 3,
      setup: {
        onEvent(event) {
          if (event.vcpu === 2 && event.type === 'instruction') instructions.push(event.text);
          if (event.vcpu === 2 && event.type === 'access') instructions.push(`${event.access} ${event.va}`);
        },
      },
    });
    expect(running.kernel.onlineCpus).toEqual([0, 1, 2]);
    expect(running.events).toContainEqual({ type: 'log', text: 'smp: Brought up 1 node, 3 CPUs' });
    const fetches = instructions
      .filter((text) => text.startsWith('fetch'))
      .map((text) => BigInt(text.slice(6)));
    // Three fetches below 1 MiB, the last of them through the identity mapping, and one of kernel text.
    expect(fetches.map((address) => address < 2n ** 20n)).toEqual([true, true, true, false]);
    expect(instructions.filter((text) => /^mov cr0/.test(text))).toHaveLength(2);
  });

  test.each([
    ['nosmp', [0]],
    ['maxcpus=2', [0, 1]],
    ['maxcpus=0', [0]],
  ])('are started as far as the command line %s wants', (commandLine, online) => {
    expect(bootKernel({ cpus: 3, commandLine }).kernel.onlineCpus).toEqual(online);
  });

  test.each([
    [4, 7],
    [5, undefined],
    [5, 3],
    [4, 12345],
  ] as const)('come up with %i-level paging and KASLR seed %s', (levels, kaslrSeed) => {
    const options = { kaslrSeed };
    expect(bootKernel({ cpus: 2, levels, ...options }).kernel.onlineCpus).toEqual([0, 1]);
  });

  test('keep the lock prefixes, which one processor alone gives up', () => {
    const freed = (cpus: number) =>
      bootKernel({ cpus })
        .events.filter((event) => event.type === 'pages-freed')
        .map((event) => event.what);
    expect(freed(1)).toContain('SMP alternatives');
    expect(freed(2)).not.toContain('SMP alternatives');
  });

  test('go down and come up again, and every number is checked', () => {
    const { kernel } = bootKernel({ cpus: 2 });
    expect(kernel.cpuUp(1)).toMatchObject({ errno: -17 });
    done(kernel.cpuDown(1));
    expect(kernel.onlineCpus).toEqual([0]);
    expect(kernel.onCpu(1, () => 0)).toMatchObject({ errno: -6 });
    expect(kernel.cpuDown(1)).toMatchObject({ errno: -22 });
    expect(kernel.cpuDown(0)).toMatchObject({ errno: -16 });
    expect(kernel.cpuUp(2)).toMatchObject({ errno: -22 });
    done(kernel.cpuUp(1));
    expect(kernel.onlineCpus).toEqual([0, 1]);
  });

  test('do not come up when the trampoline cannot be executed, which the kernel survives', () => {
    const running = bootKernel({ cpus: 2 });
    const { kernel } = running;
    done(kernel.cpuDown(1));
    // Somebody takes execution of low memory away, in the tables that the trampoline shares with the direct map.
    const base = (BigInt(kernel.layout.directMap) << 12n) as VirtualAddress;
    done(kernel.setMemory('nx', base, 0x9f));
    const outcome = kernel.cpuUp(1);
    expect(outcome).toMatchObject({ kind: 'error', errno: -5 });
    expect(outcome.kind === 'error' ? outcome.why : '').toMatch(/CPU1 failed.*in long-mode its fetch/);
    expect(running.events.at(-1)).toMatchObject({ type: 'processor', online: false });
    done(kernel.vmalloc(1));
  });

  test('are there again after suspend and resume, and so is the kernel', () => {
    const running = bootKernel({ cpus: 2 });
    const { kernel } = running;
    const registers = { ...running.vcpu.registers, cr0: running.vcpu.registers.cr0 };
    done(kernel.suspend());
    expect(kernel.onlineCpus).toEqual([0, 1]);
    const { cr0, cr4, efer, cr3 } = running.vcpu.registers;
    expect([cr0, cr3]).toEqual([registers.cr0, BigInt(kernel.pageTableRoot) << 12n]);
    expect([cr4 !== 0n, efer !== 0n]).toEqual([true, true]);
    done(kernel.loadModule({ name: 'm', memory: { text: new Uint8Array(10) } }));
  });

  test('use a root table in the trampoline that has the kernel image and low memory, and nothing else', () => {
    const { kernel, memory } = bootKernel({ cpus: 2 });
    const trampoline = gfn(0x9f - kernel.build.trampoline.pages);
    const root = trampolineRoot({ trampoline, build: kernel.build } as Parameters<typeof trampolineRoot>[0]);
    const page = memory.page(root);
    const used = Array.from({ length: 512 }, (_, slot) => slot).filter(
      (slot) => (page?.[2 * slot] ?? 0) !== 0,
    );
    expect(used).toEqual([0, 511]);
  });
});

test('whatever processor changes a mapping, no other goes on using what it was', () => {
  const action = fc.record({
    cpu: fc.nat(2),
    what: fc.constantFrom('ro' as const, 'rw' as const, 'np' as const, 'p' as const),
    page: fc.nat(3),
    warm: fc.nat(2),
  });
  fc.assert(
    fc.property(fc.array(action, { minLength: 1, maxLength: 12 }), (actions) => {
      const { kernel, rights, vcpu } = shared;
      const area = done(kernel.vmalloc(4));
      for (const { cpu, what, page, warm } of actions) {
        const address = after(area.address, 4096 * page);
        kernel.onCpu(warm, () => kernel.vcpu.load(address, 1));
        const outcome = kernel.onCpu(cpu, () => kernel.setMemory(what, address, 1));
        expect(done(outcome).kind).toBe('done');
        for (const number of kernel.onlineCpus) {
          const can = done(
            kernel.onCpu(number, () => [kernel.vcpu.load(address, 1), kernel.vcpu.store(address, 1, 1n)]),
          );
          const now = rights(address);
          expect(can.map(({ kind }) => kind === 'done')).toEqual([now[0] === 'r', now[1] === 'w']);
        }
      }
      for (let page = 0; page < 4; page++) done(kernel.setMemory('p', after(area.address, 4096 * page), 1));
      done(kernel.setMemory('rw', area.address, 4));
      done(kernel.vfree(area.address));
      expect(vcpu.halted).toBeUndefined();
    }),
    { numRuns: 60 },
  );
});

const shared = bootKernel({ cpus: 3 });

describe('between two accesses of the kernel', () => {
  test('other processors have their turn, and see what is done so far', () => {
    const seen = new Set<number>();
    let watch: (() => void) | undefined;
    const { kernel, vcpu, ...machine } = bootKernel({ commandLine: 'nokaslr', interleave: () => watch?.() });
    const { address } = done(kernel.vmalloc(1));
    const bytes = new Uint8Array(16).map((_, index) => index + 1);
    expect(machine.rights(address)).toBe('rw-');
    watch = () => {
      const outcome = vcpu.load(address, 1);
      if (outcome.kind === 'done') seen.add(Number(outcome.value));
    };
    done(kernel.copyToKernelNofault(address, bytes));
    done(kernel.setMemory('ro', address, 1));
    expect([...seen]).toEqual([1]);
  });

  test('no function of the kernel runs there: its locks are not modelled', () => {
    let call: (() => void) | undefined;
    const { kernel } = bootKernel({ commandLine: 'nokaslr', interleave: () => call?.() });
    call = () => kernel.vmalloc(1);
    expect(() => kernel.vmalloc(1)).toThrow(/another processor is in a function of the kernel/);
    call = undefined;
    expect(kernel.vmalloc(1).kind).toBe('done');
  });
});

import { decodePageList, forEachRange, permissionText } from '@heki/hypercall/kvm';
import { createHyperv } from '@heki/hyperv';
import type { BackendEvent, Hypervisor, VirtualMachine } from '@heki/hypervisor';
import { createKvm, createKvmVmm, createKvmVtl } from '@heki/kvm';
import { SMALL_KERNEL } from '@heki/linux';
import { createLinuxMachine, type HekiDriver, type LinuxMachine, pcMemoryMap } from '@heki/machine';
import { initHekiOnHyperv, initHekiOnKvm, initHekiOnXen } from '@heki/paravirt';
import type { Gfn } from '@heki/physical-memory';
import { createXen } from '@heki/xen';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { beginLife } from './life.ts';
import { runSteps } from './run-scenario.ts';
import { type Choice, randomLives, stepOf } from './testing/random-life.ts';

const RUNS = Number(process.env.HEKI_LIVES ?? (process.env.HEKI_FUZZ === 'long' ? 100 : 4));
/** Long lives, for boot takes as long as several steps. */
const STEPS = 20;
const PROCESSORS = 2;
const MEMORY = pcMemoryMap(32 * 2 ** 20);

/** A backend and its driver. */
interface Backend {
  readonly hypervisor: Hypervisor<VirtualMachine, BackendEvent>;
  readonly driver: HekiDriver;
}

const BACKENDS: readonly (readonly [name: string, create: () => Backend])[] = [
  ['KVM with MBEC', () => ({ hypervisor: createKvm(), driver: initHekiOnKvm })],
  ['KVM with MBEC, the policy in the VMM', () => ({ hypervisor: createKvmVmm(), driver: initHekiOnKvm })],
  ['KVM with MBEC, the policy in a paired VM', () => ({ hypervisor: createKvmVtl(), driver: initHekiOnKvm })],
  ['Hyper-V with MBEC', () => ({ hypervisor: createHyperv(), driver: initHekiOnHyperv })],
  ['KVM without MBEC', () => ({ hypervisor: createKvm({ mbec: false }), driver: initHekiOnKvm })],
  [
    'KVM without MBEC, the policy in the VMM',
    () => ({ hypervisor: createKvmVmm({ mbec: false }), driver: initHekiOnKvm }),
  ],
  ['Xen', () => ({ hypervisor: createXen(), driver: initHekiOnXen })],
];

/** What a guest sent in its life, and what it is granted in the end. */
interface Lived {
  readonly lists: readonly string[];
  /** For each frame: `rwx`, of the kernel, in a line of its own. */
  readonly granted: string;
}

/** Pages for lists of a driver's own. */
const DRIVER_PAGES = 64;

/**
 * A driver whose pages were put aside at late init, on every hypervisor. Those that build lists of their own would otherwise leave the page allocator
 * in another order than those that do not, and the guest would ask the same for other frames.
 */
function withPagesAside(driver: HekiDriver): HekiDriver {
  return (heki, options) => {
    const { memory } = options;
    const aside: Gfn[] = [];
    const own = {
      ...memory,
      allocatePage: () => aside.pop(),
      freePage: (frame: Gfn) => void aside.push(frame),
    };
    const found = driver(heki, { ...options, memory: own });
    const { hypervisor } = heki;
    if (hypervisor === undefined) return found;
    heki.hypervisor = {
      ...hypervisor,
      lockCrs() {
        while (aside.length < DRIVER_PAGES) {
          const frame = memory.allocatePage();
          if (frame === undefined) throw new Error('no page to put aside');
          aside.push(frame);
        }
        return hypervisor.lockCrs();
      },
    };
    return found;
  };
}

function live({ hypervisor, driver }: Backend, choices: readonly Choice[]): Lived {
  const lists: string[] = [];
  const machine: LinuxMachine = createLinuxMachine({
    hypervisor,
    driver: withPagesAside(driver),
    memoryMap: MEMORY,
    kernel: SMALL_KERNEL,
    vcpus: PROCESSORS,
    pluggable: 1,
    onEvent({ from, event }) {
      if (from !== 'guest' || event.type !== 'page-list') return;
      // The pages of the list are free by now, and not in use again.
      const decoded = decodePageList({ memory: machine.memory, list: BigInt(event.list) });
      const ranges: string[] = [];
      if (decoded.ok) forEachRange(decoded.pages, (...range) => ranges.push(range.join(' ')));
      lists.push(`${event.result < 0 ? 'refused' : 'taken'}: ${ranges.join(', ')}`);
    },
  });
  const boot = machine.kernel.boot();
  expect(boot.kind).toBe('done');
  const life = beginLife(machine);
  for (const [serial, choice] of choices.entries()) {
    const step = stepOf(life, choice, serial);
    // What is about immutable text ends otherwise where nothing is immutable, and with other numbers of free pages.
    if (step === undefined || ('on' in step && step.on === 'kernel') || step.do === 'exhaust-memory')
      continue;
    runSteps(life, [step]);
  }
  const granted = Array.from({ length: MEMORY.ramEnd }, (_, frame) => {
    const rights = machine.virtualMachine.effectiveRights(frame as Gfn);
    if (rights === undefined) return '';
    return permissionText(
      (rights.read ? 1 : 0) | (rights.write ? 2 : 0) | (rights.supervisorExecute ? 4 : 0),
    );
  });
  return { lists, granted: granted.join('\n') };
}

test('whatever the hypervisor, the guest asks for the same, and is granted the same where it can be', () => {
  fc.assert(
    fc.property(randomLives(STEPS, PROCESSORS), (choices) => {
      const lives = BACKENDS.map(([name, create]) => ({ name, ...live(create(), choices) }));
      const [kvm, vmm, vtl, hyperv, kvmWithout, vmmWithout, xen] = lives;
      if (kvm === undefined || kvmWithout === undefined || xen === undefined) return;
      for (const { name, lists } of lives) expect(lists, name).toEqual(kvm.lists);
      // The execute right of the kernel is its own on each of them.
      for (const other of [vmm, vtl, hyperv]) expect(other?.granted, other?.name).toBe(kvm.granted);
      // None can withhold it: nothing but writing is left.
      for (const other of [vmmWithout, xen]) expect(other?.granted, other?.name).toBe(kvmWithout.granted);
      const writable = ({ granted }: Lived): string => granted.replaceAll(/.$/gm, '');
      expect(writable(xen)).toBe(writable(kvm));
    }),
    { numRuns: RUNS },
  );
}, 3_600_000);

import { decodePageList, encodePageList, forEachRange } from '@heki/hypercall/kvm';
import { createKvm, type KvmVirtualMachine } from '@heki/kvm';
import { createLinuxMachine, type HekiDriver, type LinuxMachine, pcMemoryMap } from '@heki/machine';
import { initHekiOnKvm } from '@heki/paravirt';
import { addressOf, type Gfn, PAGE_SIZE, virtualAddress } from '@heki/physical-memory';
import type { Profile } from '@heki/series';
import { compare, printTable } from '@heki-internal/bench';
import { beginLife } from './life.ts';
import { runSteps } from './run-scenario.ts';

/** Modules loaded and unloaded in one run, each with two static calls: 1,000 of them take ten runs. */
const MODULES = 100;

/** The obvious way to send what changed, once boot is over: a page list of one page and one entry, and a call, for each frame. */
function pageByPage(booted: () => boolean): HekiDriver {
  return (heki, options) => {
    const found = initHekiOnKvm(heki, options);
    const { hypervisor } = heki;
    const scratch = { frame: undefined as Gfn | undefined };
    if (hypervisor === undefined) return found;
    const bytes = new Uint8Array(PAGE_SIZE);
    const one = {
      page: () => new Uint32Array(bytes.buffer),
      writablePage: () => new Uint32Array(bytes.buffer),
    };
    heki.hypervisor = {
      ...hypervisor,
      protectMemory(list) {
        if (!booted()) return hypervisor.protectMemory(list);
        scratch.frame ??= options.memory.allocatePage();
        const { frame } = scratch;
        const memory = { page: (at: Gfn) => options.memory.memory.page(at), writablePage: () => undefined };
        const decoded = decodePageList({ memory, list: BigInt(list) });
        if (frame === undefined || !decoded.ok) return -12;
        let result = 0;
        forEachRange(decoded.pages, (start, end, permissions) => {
          for (let at = start; at < end && result === 0; at = (at + 1) as Gfn) {
            bytes.fill(0);
            const ranges = [{ start: at, end: (at + 1) as Gfn, permissions }];
            encodePageList({ memory: one, frames: [frame], ranges, directMap: virtualAddress(0n) });
            options.memory.store(frame, 0, bytes.subarray(0, 48));
            result = hypervisor.protectMemory(addressOf(frame));
          }
        });
        return result;
      },
    };
    return found;
  };
}

function boot(profile: Profile, mbec: boolean, perPage: boolean): LinuxMachine<KvmVirtualMachine> {
  let booted = false;
  const machine = createLinuxMachine({
    hypervisor: createKvm({ profile, mbec }),
    memoryMap: pcMemoryMap(512 * 2 ** 20),
    profile,
    driver: perPage ? pageByPage(() => booted) : initHekiOnKvm,
  });
  if (machine.kernel.boot().kind !== 'done') throw new Error('boot failed');
  booted = true;
  return machine;
}

const contenders = (['hardened', 'rfc-v2'] as const).flatMap((profile) =>
  [true, false].flatMap((mbec) =>
    [false, true].map((perPage) => {
      const machine = boot(profile, mbec, perPage);
      const life = beginLife(machine);
      const name = `${profile}${mbec ? '' : ', no MBEC'}${perPage ? ', page by page' : ''}`;
      return {
        name,
        machine,
        work: { count: MODULES, of: 'modules' },
        run() {
          const [result] = runSteps(life, [{ do: 'churn-modules', count: MODULES }]);
          if (result?.verdict !== 'works') throw new Error(`${name}: ${result?.reason}`);
        },
      };
    }),
  ),
);

printTable(
  ['events for each module', 'hypercalls', 'ranges', 'EPT zaps', 'flushes', 'exits'],
  contenders.map(({ name, machine, run }) => {
    const figures = (): number[] => {
      const { hypercalls, ranges, zaps, flushes, exits } = machine.virtualMachine.statistics;
      const calls = [...hypercalls.values()].reduce((sum, count) => sum + count, 0);
      return [calls, ranges.sent, zaps, flushes, exits];
    };
    const before = figures();
    run();
    const after = figures();
    return [name, ...after.map((value, index) => ((value - (before[index] ?? 0)) / MODULES).toFixed(1))];
  }),
);
await compare({ title: 'load and unload a module of 12 pages on KVM', contenders });

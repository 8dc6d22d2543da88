import { type Gfn, virtualAddress, virtualFrameOf } from '@heki/physical-memory';
import type { VmcoreCpu } from '../../cpu-note.ts';
import { levelsOf, pagesIn64BitMode, rootOf } from '../../root/cpu-root.ts';
import { mappedFrame } from '../../root/kernel-tables.ts';
import type { Vmcore } from '../../vmcore.ts';

/** Of so many CPUs: the first ones. */
const MOST_CPUS = 16;

/** The root tables that the CPUs stand on: few of what they are at stay as they are while it runs. */
export function rootsInUse(core: Vmcore): Gfn[] {
  return cpusInUse(core).map(({ cr3 }) => rootOf(core, cr3));
}

const cpusInUse = ({ cpus }: Vmcore): VmcoreCpu[] => cpus.filter(pagesIn64BitMode).slice(0, MOST_CPUS);

/**
 * The frames that the CPUs are at: root tables, code, stacks, and the data that GS leads to, a CPU's own. Those change all the time: guests of one
 * kernel, and those that go on from one snapshot, have the same page tables, but not these.
 */
export function framesInUse(core: Vmcore): Gfn[] {
  return cpusInUse(core).flatMap((cpu) => {
    const { registers, segments, kernelGsBase } = cpu;
    const root = rootOf(core, cpu.cr3);
    const tables = {
      memory: core.memory,
      root,
      levels: levelsOf(cpu),
      encryptionBit: core.encryption?.bit,
    };
    const addresses = [registers.rip, registers.rsp, segments.gs.base, kernelGsBase ?? 0n];
    return [
      root,
      ...addresses.flatMap((at) => mappedFrame(tables, virtualFrameOf(virtualAddress(at))) ?? []),
    ];
  });
}

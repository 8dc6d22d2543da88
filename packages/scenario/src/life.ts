import type { KernelArea, LinuxKernel, LoadedModule, UserProcess } from '@heki/linux';
import type { Attack, LinuxMachine } from '@heki/machine';
import type { FrameRange, Gfn, VirtualAddress, VirtualFrame } from '@heki/physical-memory';
import { virtualFrameOf } from '@heki/physical-memory';
import { walkMappings } from '@heki/x86';
import { knownAttacks } from './attack-names.ts';

/** A kernel's life so far: what its steps made, by the names that they gave. */
export interface Life {
  readonly machine: LinuxMachine;
  /** What steps can attack it with. */
  readonly attacks: readonly Attack[];
  /** Names of what steps could not make. */
  readonly failed: Set<string>;
  readonly modules: Map<string, LoadedModule>;
  readonly programs: Map<string, VirtualAddress>;
  readonly areas: Map<string, KernelArea>;
  readonly processes: Map<string, UserProcess>;
  readonly traced: VirtualAddress[];
  /** Functions that livepatches replaced, by the names of these. */
  readonly patched: Map<string, readonly VirtualAddress[]>;
  /** Memory that was plugged in. */
  readonly plugged: FrameRange<Gfn>[];
  /** Frames that `exhaust-memory` holds. */
  readonly heldFrames: Gfn[];
  /** Frames that held modules and eBPF programs which are gone. */
  readonly freed: Set<Gfn>;
}

/**
 * The life of a machine whose kernel has booted.
 *
 * @param attacks what steps can attack it with, beside the attacks that come with heki
 */
export function beginLife(machine: LinuxMachine, attacks: readonly Attack[] = []): Life {
  return {
    machine,
    attacks: knownAttacks(attacks),
    failed: new Set(),
    modules: new Map(),
    programs: new Map(),
    areas: new Map(),
    processes: new Map(),
    traced: [],
    patched: new Map(),
    plugged: [],
    heldFrames: [],
    freed: new Set(),
  };
}

/**
 * The frames behind `pages` pages from `address` on, as page tables map them now.
 *
 * @param root of those page tables. Default: the kernel's
 */
export function framesBehind(
  { memory, kernel }: { readonly memory: LinuxMachine['memory']; readonly kernel: LinuxKernel },
  address: VirtualAddress,
  pages: number,
  root: Gfn = kernel.pageTableRoot,
): Gfn[] {
  const start = virtualFrameOf(address);
  const frames: Gfn[] = [];
  const tables = { memory, root, levels: kernel.layout.levels };
  walkMappings(
    tables,
    start,
    (start + pages) as VirtualFrame,
    ({ virtualFrame, guestFrame, frames: count }) => {
      const first = Math.max(start, virtualFrame);
      const end = Math.min(start + pages, virtualFrame + count);
      for (let at = first; at < end; at++) frames.push((guestFrame + (at - virtualFrame)) as Gfn);
    },
  );
  return frames;
}

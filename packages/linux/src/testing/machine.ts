import {
  createMountedMemory,
  createRam,
  type FrameRange,
  type Gfn,
  gfn,
  type MemoryMap,
  type Pfn,
  type PhysicalMemory,
  pfn,
  VIRTUAL_FRAME_END,
  type VirtualFrame,
} from '@heki/physical-memory';
import { createVcpu, type Vcpu, type VcpuSetup } from '@heki/vcpu';
import {
  EntryHigh,
  EntryLow,
  INTEL_VT_RP,
  type MappingLeaf,
  type PagingLevels,
  upperHalfStart,
  walkMappings,
} from '@heki/x86';
import type { PermissionRange } from './fixture.ts';

/** Guest memory of a map, and a processor that runs on it without any hypervisor. */
export interface BareMachine {
  readonly memory: PhysicalMemory<Gfn>;
  readonly vcpu: Vcpu;
  /** Another processor, in the state after INIT. */
  addVcpu(): Vcpu;
}

export function createBareMachine(memoryMap: MemoryMap<Gfn>, setup: VcpuSetup = {}): BareMachine {
  const low = { start: gfn(0), end: gfn(0x100) };
  const ranges: FrameRange<Gfn>[] = [low];
  for (const { start, end, type } of memoryMap.entries) {
    if (type === 'ram' && end > low.end) ranges.push({ start: gfn(Math.max(start, low.end)), end });
  }
  const memory = createRam<Gfn>({ ranges });
  const frames = memoryMap.ramEnd;
  const host = createMountedMemory<Pfn>({ mounts: [{ start: pfn(0), frames, memory, from: gfn(0) }] });
  let count = 0;
  const addVcpu = (): Vcpu => createVcpu({ id: count++, memory: host, processor: INTEL_VT_RP, ...setup });
  return { memory, vcpu: addVcpu(), addVcpu };
}

/** Page tables in memory. */
export interface Tables {
  readonly memory: PhysicalMemory<Gfn>;
  readonly root: Gfn;
  readonly levels: PagingLevels;
}

/** Visits all leaves of the kernel half, at each of their addresses. */
export function kernelLeaves(tables: Tables, visit: (leaf: MappingLeaf) => void): void {
  const options = { ...tables, sharedTables: 'each' } as const;
  walkMappings(options, upperHalfStart(tables.levels), VIRTUAL_FRAME_END as VirtualFrame, visit);
}

/** What all mappings of the kernel half together allow for each of the first `frames` frames, coalesced. */
export function collectivePermissions(tables: Tables, frames: number): PermissionRange[] {
  const union = new Uint8Array(frames);
  kernelLeaves(tables, ({ guestFrame, frames: count, low, high }) => {
    const rights = 1 + ((low & EntryLow.RW) === 0 ? 0 : 2) + ((high & EntryHigh.XD) === 0 ? 4 : 0);
    for (let at: number = guestFrame; at < Math.min(guestFrame + count, frames); at++) {
      union[at] = (union[at] ?? 0) | rights;
    }
  });
  return coalesce(union);
}

const LETTERS = ['---', 'r--', 'rw-', 'rw-', '--x', 'r-x', 'rwx', 'rwx'];

function coalesce(union: Uint8Array): PermissionRange[] {
  const ranges: PermissionRange[] = [];
  let start = 0;
  for (let at = 1; at <= union.length; at++) {
    if (at < union.length && union[at] === union[start]) continue;
    const letters = LETTERS[union[start] ?? 0] ?? '';
    if (union[start] !== 0) ranges.push({ start, end: at, letters });
    start = at;
  }
  return ranges;
}

/** The part of `ranges` between `start` and `end`. */
export function clip(ranges: readonly PermissionRange[], start: number, end: number): PermissionRange[] {
  return ranges
    .map((range) => ({ ...range, start: Math.max(range.start, start), end: Math.min(range.end, end) }))
    .filter((range) => range.start < range.end);
}

/** A range as the fixtures write it. */
export function rangeLine({ start, end, letters }: PermissionRange): string {
  const address = (frame: number): string => (frame * 4096).toString(16).padStart(12, '0');
  return `${address(start)} ${address(end)} ${letters}`;
}

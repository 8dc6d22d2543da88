import type { EarlyInitResult, LateInitResult } from '@heki/guest';
import { decodePageList, MEM_ATTR_IMMUTABLE, permissionText } from '@heki/hypercall/kvm';
import type { BackendEvent, VirtualMachine } from '@heki/hypervisor';
import {
  type CollectiveRights,
  type ComparedRange,
  compareRights,
  createMachine,
  KernelRights,
  type MachineOptions,
  machineMemory,
  type RightsComparison,
} from '@heki/machine';
import { type FrameRange, firstBehind, type Gfn, joinedRanges } from '@heki/physical-memory';
import type { AuditedKernel } from '../audited-kernel.ts';
import type { FrameExtent } from '../frame-extents.ts';
import { pagesIn } from '../occurrence.ts';
import { Rights } from '../rights.ts';
import { type KernelWork, kernelWork } from './kernel-work.ts';
import { type OpenWay, openWays } from './open-ways.ts';
import { type SecondLevelLeaves, secondLevelLeaves } from './second-level-leaves.ts';

/** The machine around the kernel: its hypervisor, driver, profile and registers. */
export type UnderHekiOptions<VM extends VirtualMachine, Event extends BackendEvent> = Omit<
  MachineOptions<VM, Event>,
  'kernel' | 'heki' | 'onEvent'
>;

/** A range as the kernel asked for it. */
export interface SentRange extends FrameRange<Gfn> {
  /** `r-x`. */
  readonly permissions: string;
  readonly immutable: boolean;
}

/** Frames for which the second level grants the kernel the same. */
export interface GrantedRange extends FrameRange<Gfn> {
  /** An OR of `KernelRights` of `@heki/machine`. */
  readonly granted: number;
  /** No request of the kernel changes it. */
  readonly immutable: boolean;
}

/** What Heki does with a kernel. */
export interface UnderHeki {
  /** The hypervisor's name. */
  readonly hypervisor: string;
  readonly profile: 'rfc-v2' | 'hardened';
  readonly early: EarlyInitResult;
  readonly late: LateInitResult;
  /** Memory is protected, and every request was taken. */
  readonly inForce: boolean;
  /** Requests that the hypervisor answered: for pinned registers, and for memory. */
  readonly hypercalls: number;
  /** Error numbers of those that it refused. */
  readonly refused: readonly number[];
  readonly listPages: number;
  /** What was asked for and taken, in the order of the lists. */
  readonly ranges: readonly SentRange[];
  /** Pages by permissions, `r-x`, and those of them that no request changes again. */
  readonly pages: ReadonlyMap<string, { readonly pages: number; readonly immutable: number }>;
  readonly leaves: SecondLevelLeaves;
  /** What the second level grants, read back, beside what mappings allow. */
  readonly rights: RightsComparison;
  /** What it grants the kernel for all of memory, ascending. */
  readonly granted: readonly GrantedRange[];
  readonly work: readonly KernelWork[];
  readonly open: readonly OpenWay[];
}

const PERMISSIONS = ['r--', 'r-x', 'rw-', 'rwx'] as const;

/**
 * Protects `kernel` on a machine of its own, and reads back its outcome.
 *
 * @throws {MachineError} when no machine can be made around it
 */
export function underHeki<VM extends VirtualMachine, Event extends BackendEvent>(
  kernel: AuditedKernel,
  options: UnderHekiOptions<VM, Event>,
): UnderHeki {
  const ranges: SentRange[] = [];
  const refused: number[] = [];
  let listPages = 0;
  let hypercalls = 0;
  const machine = createMachine({
    ...options,
    kernel: kernel.tables,
    onEvent({ from, event }) {
      if (from === 'hypervisor' && (event.type === 'protected' || event.type === 'pinned')) hypercalls++;
      if (from !== 'guest' || event.type !== 'page-list') return;
      if (event.result < 0) refused.push(event.result);
      const list = decodePageList({ memory: machine.memory, list: BigInt(event.list) });
      if (!list.ok || event.result < 0) return;
      listPages += list.pages.length;
      for (const { starts, ends, permissions } of list.pages) {
        for (const [index, start] of starts.entries()) {
          const bits = permissions[index] ?? 0;
          ranges.push({
            start: start as Gfn,
            end: (ends[index] ?? start) as Gfn,
            permissions: permissionText(bits),
            immutable: (bits & MEM_ATTR_IMMUTABLE) !== 0,
          });
        }
      }
    },
  });
  const early = machine.earlyInit();
  const late = machine.lateInit();
  const inForce =
    (late.outcome === 'protected' || late.outcome === 'end-of-boot-refused') && refused.length === 0;

  const memory = machineMemory(options.memoryMap);
  const sorted = [...ranges].sort((a, b) => a.start - b.start);
  const immutable = sorted.filter((range) => range.immutable);
  const granted: Granted[] = [];
  const rights = compareRights({
    virtualMachine: machine.virtualMachine,
    capabilities: machine.capabilities,
    mappings: collectiveRightsOf(kernel),
    memory,
    visit: (stretch) => addGranted(granted, stretch),
  });
  const profile = options.profile ?? 'hardened';
  return {
    hypervisor: options.hypervisor.name,
    profile,
    early,
    late,
    inForce,
    hypercalls,
    refused,
    listPages,
    ranges,
    pages: countPages(ranges),
    leaves: secondLevelLeaves(memory, edgesOf(sorted), options.hostPage ?? 262144),
    rights,
    granted: withImmutable(granted, inForce ? joinedRanges(immutable) : []),
    work: kernelWork(kernel, {
      profile,
      inForce,
      deniesExecution: rights.unenforceable.length === 0,
      immutable: inForce ? immutable : [],
      missing: inForce ? rights.missing : [],
    }),
    open: openWays({
      capabilities: machine.capabilities,
      inForce,
      changeablePages: pagesIn(ranges) - pagesIn(immutable),
      writableCodePages: pagesIn(rights.writableCode),
      unenforceablePages: pagesIn(rights.unenforceable),
      hlat: hlatOf(machine.virtualMachine),
    }),
  };
}

/** By the first virtual CPU: all are alike. */
function hlatOf({ vcpus: [vcpu] }: VirtualMachine): 'on' | 'off' | 'lacking' {
  if (vcpu?.controls.hlat !== undefined) return 'on';
  return vcpu?.processor.ept?.hlat === true ? 'off' : 'lacking';
}

type Granted = Omit<GrantedRange, 'immutable'>;

/** Adds a stretch to those before it, joined with the last where they agree. */
function addGranted(list: Granted[], { start, end, granted }: ComparedRange): void {
  const last = list.at(-1);
  if (last?.end === start && last.granted === granted) list[list.length - 1] = { ...last, end };
  else list.push({ start, end, granted });
}

/** `granted` in parts that are immutable or not. @param immutable ascending and apart */
function withImmutable(granted: readonly Granted[], immutable: readonly FrameRange<Gfn>[]): GrantedRange[] {
  const parts: GrantedRange[] = [];
  let next = 0;
  for (const range of granted) {
    const add = (start: Gfn, end: Gfn, isImmutable: boolean): void => {
      if (start < end) parts.push({ ...range, start, end, immutable: isImmutable });
    };
    let at = range.start;
    while (next < immutable.length) {
      const one = immutable[next];
      if (one === undefined || one.start >= range.end) break;
      const start = Math.max(at, one.start) as Gfn;
      const end = Math.min(range.end, one.end) as Gfn;
      add(at, start, false);
      add(start, end, true);
      at = Math.max(at, end) as Gfn;
      if (one.end > range.end) break;
      next++;
    }
    add(at, range.end, false);
  }
  return parts;
}

function countPages(ranges: readonly SentRange[]): UnderHeki['pages'] {
  return new Map(
    PERMISSIONS.map((permissions) => {
      const same = ranges.filter((range) => range.permissions === permissions);
      return [permissions, { pages: pagesIn(same), immutable: pagesIn(same.filter((one) => one.immutable)) }];
    }),
  );
}

/** Where rights change. `ranges` ascend; what was not asked for has rights of its own. */
function edgesOf(ranges: readonly SentRange[]): number[] {
  const edges: number[] = [];
  let last: SentRange | undefined;
  for (const range of ranges) {
    const goesOn =
      last?.end === range.start &&
      last.permissions === range.permissions &&
      last.immutable === range.immutable;
    if (goesOn) edges.pop();
    else edges.push(range.start);
    edges.push(range.end);
    last = range;
  }
  return [...new Set(edges)];
}

/** What mappings allow, from the extents that were made already. */
function collectiveRightsOf({ extents, absentTables }: AuditedKernel): CollectiveRights {
  const at = (frame: number): { readonly extent: FrameExtent | undefined; readonly next: number } => {
    const extent = extents[firstBehind(extents, frame)];
    if (extent === undefined) return { extent, next: Number.POSITIVE_INFINITY };
    return extent.start <= frame ? { extent, next: extent.end } : { extent: undefined, next: extent.start };
  };
  return {
    absentTables,
    cutShort: false,
    of: (frame) => kernelRightsOf(at(frame).extent?.rights ?? 0),
    // As far as 2 MiB: rights of the second level may change there.
    next: (frame, limit) => Math.min(limit, at(frame).next, frame - (frame % 512) + 512),
  };
}

function kernelRightsOf(rights: number): number {
  return (
    ((rights & Rights.READ) === 0 ? 0 : KernelRights.READ) |
    ((rights & Rights.WRITE) === 0 ? 0 : KernelRights.WRITE) |
    ((rights & Rights.EXECUTE) === 0 ? 0 : KernelRights.EXECUTE)
  );
}

import { type Capabilities, grantableRights, type VirtualMachine } from '@heki/hypervisor';
import type { FrameRange, Gfn } from '@heki/physical-memory';
import type { CollectiveRights } from './collective-rights.ts';
import { grantedRights, KernelRights, kernelRightsOf } from './kernel-rights.ts';

/** Frames with the same rights in the kernel's mappings and in the second level, both ORs of `KernelRights`. */
export interface ComparedRange extends FrameRange<Gfn> {
  /** What the mappings allow together. */
  readonly allowed: number;
  /** What the second level grants the kernel. */
  readonly granted: number;
}

/** What the second level grants beside what the kernel's mappings allow. Ranges ascend. */
export interface RightsComparison {
  /** Writing or execution is granted that no mapping has, though this hypervisor could deny it. */
  readonly beyond: readonly ComparedRange[];
  /** Granted beyond the mappings because this hypervisor cannot deny it. */
  readonly unenforceable: readonly ComparedRange[];
  /** Not granted, though a mapping has it: the kernel breaks there. */
  readonly missing: readonly ComparedRange[];
  /** The mappings themselves let the kernel write and execute these: whoever grants what mappings allow cannot protect them. */
  readonly writableCode: readonly ComparedRange[];
  /** Frames that were looked at. */
  readonly frames: number;
  /** Of more memory than can be looked at page by page, one page was in each stretch of equal mappings within 2 MiB. */
  readonly sampled: boolean;
}

/** Without the edges of what is enforced, so many frames are looked at one by one: 4 GiB. */
const MOST_SINGLE_FRAMES = 2 ** 20;

const { READ, WRITE, EXECUTE } = KernelRights;
const WRITE_AND_EXECUTE = WRITE | EXECUTE;

/**
 * Holds what the second level of `virtualMachine` grants against what the kernel's mappings allow together, read back frame by frame;
 * frames that agree in their mappings and in what the backend says that it enforces are looked at once in 2 MiB, the largest page that
 * rights of its own can hide in.
 *
 * @param options.memory the frames to look at, ascending
 * @param options.visit hears of each stretch of frames that was looked at once, in order
 */
export function compareRights(options: {
  readonly virtualMachine: VirtualMachine;
  readonly capabilities: Capabilities;
  readonly mappings: CollectiveRights;
  readonly memory: readonly FrameRange<Gfn>[];
  readonly visit?: (stretch: ComparedRange) => void;
}): RightsComparison {
  const { virtualMachine, capabilities, mappings, memory, visit } = options;
  const frames = memory.reduce((sum, { start, end }) => sum + end - start, 0);
  const edges = enforcedEdges(virtualMachine);
  const sampled = edges === undefined && frames > MOST_SINGLE_FRAMES;
  const tally = createRightsTally(capabilities);
  let edge = 0;
  for (const { start, end } of memory) {
    for (let frame: number = start; frame < end; ) {
      let next = frame + 1;
      if (sampled) next = mappings.next(frame, end);
      else if (edges !== undefined) {
        while ((edges[edge] ?? Number.POSITIVE_INFINITY) <= frame) edge++;
        next = mappings.next(frame, Math.min(end, edges[edge] ?? end));
      }
      const stretch = {
        start: frame as Gfn,
        end: next as Gfn,
        allowed: mappings.of(frame),
        granted: grantedRights(virtualMachine, frame as Gfn),
      };
      visit?.(stretch);
      tally.add(stretch);
      frame = next;
    }
  }
  return { ...tally.result(), frames, sampled };
}

/** Sorts stretches of frames by how their rights differ. They must come in ascending order, to be joined. */
export function createRightsTally(capabilities: Parameters<typeof grantableRights>[0]): {
  add(stretch: ComparedRange): void;
  result(): Omit<RightsComparison, 'frames' | 'sampled'>;
} {
  const beyond = createRanges();
  const unenforceable = createRanges();
  const missing = createRanges();
  const writableCode = createRanges();
  const grantable = Array.from({ length: 8 }, (_, allowed) => grantableFor(capabilities, allowed));
  return {
    add(stretch) {
      const { allowed, granted } = stretch;
      // A page without mappings is data: whoever maps it first may write there.
      const excess = granted & ~(allowed === 0 ? READ | WRITE : allowed);
      if ((excess & ~(grantable[allowed] ?? 0)) !== 0) beyond.add(stretch);
      else if (excess !== 0) unenforceable.add(stretch);
      if ((allowed & ~granted) !== 0) missing.add(stretch);
      if ((allowed & WRITE_AND_EXECUTE) === WRITE_AND_EXECUTE) writableCode.add(stretch);
    },
    result: () => ({
      beyond: beyond.ranges,
      unenforceable: unenforceable.ranges,
      missing: missing.ranges,
      writableCode: writableCode.ranges,
    }),
  };
}

/** Where the rights that the backend enforces may change, ascending; `undefined` when it cannot be asked. */
function enforcedEdges(virtualMachine: VirtualMachine): number[] | undefined {
  const state = virtualMachine.save();
  return state?.ranges.flatMap(({ start, end }): number[] => [start, end]);
}

/** The least that a backend can grant the kernel for mappings that allow `allowed`; user code may always execute. */
function grantableFor(capabilities: Parameters<typeof grantableRights>[0], allowed: number): number {
  return kernelRightsOf(
    grantableRights(capabilities, {
      read: true,
      write: (allowed & WRITE) !== 0 || allowed === 0,
      supervisorExecute: (allowed & EXECUTE) !== 0,
      userExecute: true,
    }),
  );
}

/** Ranges in which neighbours that agree are joined. */
function createRanges() {
  const ranges: { start: Gfn; end: Gfn; allowed: number; granted: number }[] = [];
  return {
    ranges,
    add(range: ComparedRange): void {
      const last = ranges.at(-1);
      const joins =
        last !== undefined &&
        last.end === range.start &&
        last.allowed === range.allowed &&
        last.granted === range.granted;
      if (joins) last.end = range.end;
      else ranges.push({ ...range });
    },
  };
}

import type { FrameRights } from '@heki/code-authority';
import type { Rights } from '@heki/hypervisor';
import { createMemoryTable } from '@heki/memory-table';
import type { Pfn } from '@heki/physical-memory';

const READ = 1;
const WRITE = 2;
const EXECUTE = 4;
const ALL = READ | WRITE | EXECUTE;
const FRAME_END = 2 ** 40;

/** What the owner of the code lets the guest's kernel do with each host frame, under whatever guest frame it is. */
export interface CodeRights {
  /** `rights` without what the owner withholds from the frame. User code is bound by what it may read and store to. */
  limit(rights: Rights, frame: Pfn): Rights;
  /** Whether anything of the frame may be had at all. */
  canRead(frame: Pfn): boolean;
  /** Whether the kernel may execute each frame of `start` .. `end` - 1. */
  allExecute(start: Pfn, end: Pfn): boolean;
  /** Whether the frames have the same rights. */
  isUniform(start: Pfn, end: Pfn): boolean;
  set(start: Pfn, end: Pfn, rights: FrameRights): void;
  /** For all frames that nothing was set for. */
  setOthers(rights: FrameRights): void;
  /** Nothing was withheld so far from any frame. */
  readonly isEmpty: boolean;
  checkpoint(): () => void;
}

const bitsOf = ({ read, write, execute }: FrameRights): number =>
  (read ? READ : 0) | (write ? WRITE : 0) | (execute ? EXECUTE : 0);

/** Nothing is withheld. */
export function createCodeRights(): CodeRights {
  const table = createMemoryTable<number, Pfn>();
  let others = ALL;
  return {
    limit({ read, write, supervisorExecute, userExecute }, frame) {
      const bits = table.get(frame) ?? others;
      // What may not be read may not be executed either: few processors know execution alone.
      const readable = (bits & READ) !== 0;
      return {
        read: read && readable,
        write: write && (bits & WRITE) !== 0,
        supervisorExecute: supervisorExecute && (bits & EXECUTE) !== 0,
        userExecute: userExecute && readable,
      };
    },
    canRead: (frame) => ((table.get(frame) ?? others) & READ) !== 0,
    allExecute: (start, end) => table.every(start, end, (bits = others) => (bits & EXECUTE) !== 0),
    isUniform(start, end) {
      const first = table.get(start);
      return table.every(start, end, (bits) => bits === first);
    },
    set: (start, end, rights) => table.set(start, end, bitsOf(rights)),
    setOthers(rights) {
      others = bitsOf(rights);
    },
    get isEmpty() {
      return others === ALL && table.statistics().extents === 0;
    },
    checkpoint() {
      const kept = { others, extents: [...table.extents()] };
      return () => {
        others = kept.others;
        table.clear(0 as Pfn, FRAME_END as Pfn);
        for (const { start, end, value } of kept.extents) table.set(start, end, value);
      };
    },
  };
}

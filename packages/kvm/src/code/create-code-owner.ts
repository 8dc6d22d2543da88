import {
  type AuthorityDefectId,
  type AuthorityHost,
  createCodeAuthority,
  type FrameRights,
  type SignedCode,
} from '@heki/code-authority';
import type { Gfn, Pfn, PhysicalMemory } from '@heki/physical-memory';
import type { DefectChoices } from '@heki/series';
import { backingFrame } from '../memslots/memslot.ts';
import { beginInvalidation, endInvalidation } from '../mmu/invalidation.ts';
import { flushRemoteTlbs, zap, zapAll } from '../mmu/zap.ts';
import { leaveProtectedNested } from '../nested/nested.ts';
import type { HekiVmState } from '../vm-state.ts';
import type { CodeOwner } from './code-owner.ts';
import { type CodeRights, createCodeRights } from './code-rights.ts';

/** An owner of the code of `vm`, which nobody has asked for anything yet. */
export function createCodeOwner(options: {
  readonly vm: () => HekiVmState;
  readonly memory: PhysicalMemory<Pfn>;
  readonly code: SignedCode;
  readonly defects: DefectChoices<AuthorityDefectId> | undefined;
}): CodeOwner {
  const { vm, memory, code, defects } = options;
  const rights = createCodeRights();
  /** B-A8: the first name under which each host frame was given, which alone has its type. */
  const named = new Map<Pfn, Gfn>();
  const byGuestFrame = defects?.['B-A8'] === true;
  const host: AuthorityHost = {
    memory,
    hostFrame(gfn) {
      const slot = vm().slots.find(gfn);
      if (slot === undefined) return undefined;
      const frame = backingFrame(slot, gfn);
      if (byGuestFrame && !named.has(frame)) named.set(frame, gfn);
      return frame;
    },
    setRights: (frames, wanted) => setRights(vm(), rights, frames, wanted),
    setOtherRights(wanted) {
      zapAll(vm());
      rights.setOthers(wanted);
      leaveProtectedNested(vm());
    },
    flush: () => flushRemoteTlbs(vm()),
    stopped(work) {
      const { statistics, locks } = vm();
      statistics.kicks++;
      return locks.alone(work);
    },
    // The same for every machine, so that a life can be repeated: a host draws it.
    secret: new Uint8Array(32),
    get processors() {
      return vm().vcpus.length;
    },
  };
  const authority = createCodeAuthority({
    host,
    readImage: code.readImage,
    ...(defects === undefined ? {} : { defects }),
  });
  return {
    authority,
    kernel: code.kernel,
    rights,
    typedName: byGuestFrame ? (frame) => named.get(frame) : undefined,
    get isUnsaveable() {
      return named.size > 0 || (authority.sealed && defects?.['B-A1'] === true);
    },
    reset() {
      named.clear();
      authority.reset();
    },
    checkpoint() {
      const names = [...named];
      const backs = [authority.checkpoint(), rights.checkpoint()];
      return () => {
        named.clear();
        for (const [frame, gfn] of names) named.set(frame, gfn);
        for (const back of backs) back();
      };
    },
  };
}

/** Takes the leaves of host frames away under all their names, and gives them other rights. Processors go on with what they have cached. */
function setRights(vm: HekiVmState, rights: CodeRights, frames: readonly Pfn[], wanted: FrameRights): void {
  vm.locks.with('mmu_lock', () => {
    beginInvalidation(vm);
    for (const [start, end] of runsOf(frames)) {
      for (const [from, to] of namesOf(vm, start, end)) zap(vm, from, to);
      rights.set(start, end, wanted);
    }
    endInvalidation(vm);
  });
}

/** Frames in a row. */
function* runsOf(frames: readonly Pfn[]): Generator<readonly [start: Pfn, end: Pfn]> {
  for (let first = 0; first < frames.length; ) {
    const start = frames[first] ?? (0 as Pfn);
    let count = 1;
    while (frames[first + count] === start + count) count++;
    yield [start, (start + count) as Pfn];
    first += count;
  }
}

/** The guest frames that host frames are now. */
function namesOf({ slots }: HekiVmState, start: Pfn, end: Pfn): (readonly [start: Gfn, end: Gfn])[] {
  return slots.slots.flatMap(({ base, frames, backing }) => {
    const from = Math.max(start, backing);
    const to = Math.min(end, backing + frames);
    return from < to ? [[(base + (from - backing)) as Gfn, (base + (to - backing)) as Gfn] as const] : [];
  });
}

import type { EffectiveRights, Rights } from '@heki/hypervisor';
import { frameOf, type Gfn, type Pfn, type U64 } from '@heki/physical-memory';
import { rightsOf } from '../memslots/host-frames.ts';
import { backingFrame, type Memslot, MemslotFlag, markDirty } from '../memslots/memslot.ts';
import type { VmState } from '../vm-state.ts';
import { isStale } from './invalidation.ts';
import { FRAMES_PER_LEVEL } from './large-pages.ts';
import type { GuestFault } from './page-fault.ts';
import type { SpteRequest } from './spte.ts';
import { flushRemoteTlbs } from './zap.ts';

/** What became of a fault that is not a violation of rights. */
export type MapOutcome =
  /** A leaf was installed. */
  | 'mapped'
  /** The leaf that would be installed is there already: the access is tried again. */
  | 'spurious'
  /** No memslot, or a store to a read-only one: RET_PF_EMULATE. */
  | 'emulate'
  /** What the fault looked at has changed since: the access is tried again (RET_PF_RETRY). */
  | 'retry'
  /** No frame is left for a table. */
  | 'no-memory';

/** The leaf that a fault on `gfn` gets: its level, its first frame and how it is made. */
interface Plan {
  readonly level: number;
  readonly base: Gfn;
  readonly request: SpteRequest;
}

/**
 * What a fault on `gfn` of `slot` installs, at `highest` or a lower level: for a load as well a leaf that can be stored through, for the
 * host's memory is writable (hva_to_pfn).
 */
export function planLeaf(
  vm: VmState,
  slot: Memslot,
  gfn: Gfn,
  { fetch }: { readonly fetch: boolean },
  highest = 3,
): Plan {
  const { nxHugePages } = vm.options;
  const limit = nxHugePages && fetch ? 1 : Math.min(highest, vm.tables.largestLeaf);
  const legal = vm.largePages.legalLevel(slot, gfn, limit);
  const level = oneTypeLevel(vm, slot, gfn, oneNameLevel(vm, gfn, legal));
  const base = (gfn - (gfn % (FRAMES_PER_LEVEL[level as 1 | 2 | 3] ?? 1))) as Gfn;
  return {
    level,
    base,
    request: {
      rights: rightsOf(vm, base),
      writable: (slot.flags & MemslotFlag.READONLY) === 0,
      executable: level === 1 || !nxHugePages,
      ...vtRpBits(vm, base),
    },
  };
}

/** What a leaf says of guest page tables, for a VM with HLAT: which may lead to it, and whether it may be one that a walk writes to. */
function vtRpBits(
  { hlat, owner }: VmState,
  gfn: Gfn,
): Pick<SpteRequest, 'verified' | 'pagingWrite'> | undefined {
  if (hlat === undefined) return undefined;
  const { verification, pagingWrite } = hlat.settings;
  const [asked] = owner.asked(gfn, (gfn + 1) as Gfn);
  return {
    verified: verification && asked?.rights.write === false,
    pagingWrite: pagingWrite === 'everywhere',
  };
}

/** The highest level, at most `highest`, for whose frames nothing was asked under other names: those have rights of their own each. */
function oneNameLevel({ hostFrames, owner, defects }: VmState, gfn: Gfn, highest: number): number {
  if (defects['B-ALIAS']) return highest;
  const isAsked = (start: Gfn, end: Gfn): boolean => owner.asked(start, end).length > 0;
  let level = highest;
  for (; level > 1; level--) {
    const frames = FRAMES_PER_LEVEL[level as 2 | 3];
    const base = gfn - (gfn % frames);
    if (!hostFrames.hasOthers(base, base + frames, isAsked)) break;
  }
  return level;
}

/** The highest level, at most `highest`, for whose frames the owner of the code withholds the same. */
function oneTypeLevel({ code }: VmState, slot: Memslot, gfn: Gfn, highest: number): number {
  if (code === undefined || code.rights.isEmpty) return highest;
  let level = highest;
  for (; level > 1; level--) {
    const frames = FRAMES_PER_LEVEL[level as 2 | 3];
    const start = backingFrame(slot, (gfn - (gfn % frames)) as Gfn);
    if (code.rights.isUniform(start, (start + frames) as Pfn)) break;
  }
  return level;
}

/**
 * kvm_tdp_mmu_map(): installs the largest legal leaf for a fault, with the rights of its *first* frame.
 *
 * @param sequence of the VM's `invalidation` when the fault was looked at
 * @throws {VcpuWaits} while another processor changes attributes
 */
export function mapFault(vm: VmState, fault: GuestFault, sequence: number): MapOutcome {
  const gfn = frameOf(fault.gpa);
  const slot = vm.slots.find(gfn);
  if (slot === undefined) return 'emulate';
  if (fault.write && (slot.flags & MemslotFlag.READONLY) !== 0) return 'emulate';
  return vm.locks.with('mmu_lock', () => {
    if (isStale(vm, sequence)) return 'retry';
    const leaf = vm.tables.editor.leaf(gfn);
    // What was split so that code can execute stays split: disallowed_hugepage_adjust().
    const highest = vm.options.nxHugePages ? (leaf?.level ?? 3) : 3;
    const wanted = planLeaf(vm, slot, gfn, fault, highest);
    const entry = vm.tables.format.make(wanted.request);
    if (leaf !== undefined && leaf.level === wanted.level && grantsAs(vm, leaf.entry, entry))
      return 'spurious';
    return installLeaf(vm, slot, wanted) ? 'mapped' : 'no-memory';
  });
}

/**
 * Puts the planned leaf into the tables; `false` when no frame is left for a table. From then on a store goes unnoticed: a frame that can
 * be stored to is dirty (make_spte).
 */
export function installLeaf(vm: VmState, slot: Memslot, { level, base, request }: Plan): boolean {
  const entry = vm.tables.format.make(request);
  const pfn = backingFrame(slot, base);
  const edit = vm.tables.editor.installLeaf(base, level, pfn, entry);
  if (edit.stoppedAt !== undefined) return false;
  if (vm.tables.format.rights(entry).write) markDirty(slot, base);
  vm.statistics.mapped++;
  vm.emit?.({ type: 'mapped', gfn: base, level, pfn, entry });
  if (edit.flush !== undefined) flushRemoteTlbs(vm);
  return true;
}

function grantsAs(vm: VmState, entry: U64, bits: U64): boolean {
  const a = vm.tables.format.rights(entry);
  const b = vm.tables.format.rights(bits);
  return (
    (a.write || !b.write) &&
    (a.supervisorExecute || !b.supervisorExecute) &&
    (a.userExecute || !b.userExecute) &&
    (a.read || !b.read)
  );
}

/** What a leaf for `gfn` grants, of all that its attributes and the processor allow. */
export function leafRights(vm: VmState, gfn: Gfn): Rights {
  const { format } = vm.tables;
  const rights = rightsOf(vm, gfn);
  return format.rights(format.make({ rights, writable: true, executable: true }));
}

/** The rights of `gfn` as its leaf grants them, or, without one, as the leaf that a fault would install does. */
export function effectiveRights(vm: VmState, gfn: Gfn): EffectiveRights | undefined {
  const slot = vm.slots.find(gfn);
  if (slot === undefined) return undefined;
  const leaf = vm.tables.editor.leaf(gfn);
  if (leaf !== undefined) return { ...vm.tables.format.rights(leaf.entry), present: true };
  const rightsFor = (fetch: boolean): Rights =>
    vm.tables.format.rights(vm.tables.format.make(planLeaf(vm, slot, gfn, { fetch }).request));
  const { read, write } = rightsFor(false);
  const { supervisorExecute, userExecute } = rightsFor(true);
  return { read, write, supervisorExecute, userExecute, present: false };
}

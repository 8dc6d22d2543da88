import {
  attributesOfPermissions,
  HEKI_ATTRIBUTE_IMMUTABLE,
  HEKI_ATTRIBUTE_MASK,
  KvmError,
  MEM_ATTR_EXEC,
  MEM_ATTR_IMMUTABLE,
  MEM_ATTR_PROT,
  MEM_ATTR_READ,
  permissionLogText,
} from '@heki/hypercall/kvm';
import {
  type ProtectionRange,
  type ProtectionResult,
  type Refusal,
  sameRights,
  type Weakened,
} from '@heki/hypervisor';
import { FRAME_END, type Gfn } from '@heki/physical-memory';
import { type AttributeStore, createAttributeStore } from './attribute-store.ts';
import type { RangeOutcome } from './event.ts';
import { hostLine } from './host-line.ts';
import { reportIncident } from './incident.ts';
import { leaveAllNested } from './nested.ts';
import { type RawRange, readPageList } from './read-page-list.ts';
import { rawRange, rightsOfPermissions } from './rights.ts';
import { setMemoryAttributes } from './set-attributes.ts';
import type { VmState } from './vm-state.ts';
import { zapAll } from './zap.ts';

/** Why a range is refused, as an error number for the guest and in the words of the contract. */
interface Fault {
  readonly error: number;
  readonly why: Refusal;
}

/** Faults that kvm_permissions_set() finds; what is wrong with the list's own fields fails without this line. */
const SETTER_REFUSES: ReadonlySet<Refusal> = new Set(['empty', 'immutable', 'no-memory', 'not-memory']);

/** kvm_permissions_set() fails with the kernel's own numbers, which leak to the guest. */
const IMMUTABLE: Fault = { error: -KvmError.EPERM, why: 'immutable' };

/** heki_protect_memory(), hypercall 14: the list at guest-physical `list`. 0 or a negative error number. */
export function protectMemory(vm: VmState, list: bigint): number {
  const reading = readPageList(vm, list);
  vm.statistics.ranges.sent += reading.ranges.length;
  if (reading.ok) {
    return vm.locks.with('slots_arch_lock', () => apply(vm, reading.ranges, 'guest')).error;
  }
  vm.statistics.ranges.refused += reading.ranges.length;
  const refused = { at: -1, why: reading.error === -KvmError.E2BIG ? 'too-much' : 'bad-request' } as const;
  vm.emit?.({ type: 'protected', by: 'guest', result: { applied: 0, weakened: [], refused } });
  return reading.error;
}

/** The same from the host's own code. User execution cannot be denied: such a range is weakened. */
export function protectFromHost(vm: VmState, ranges: readonly ProtectionRange[]): ProtectionResult {
  const { result } = vm.locks.with('slots_arch_lock', () => apply(vm, ranges.map(rawRange), 'vmm'));
  const weakened = ranges.slice(0, result.applied).flatMap((range, at): Weakened[] => {
    const known = result.weakened.find(
      ({ range: { start, end } }) => start === range.start && end === range.end,
    );
    const granted = known?.granted ?? rightsOfPermissions(rawRange(ranges[at] ?? range).permissions);
    return sameRights(granted, range.rights) ? [] : [{ range, granted }];
  });
  return { ...result, weakened };
}

/**
 * Checks and applies `ranges`. The series does both entry by entry and stops at the first bad one (B-H6); otherwise
 * all are checked before the first is applied.
 */
function apply(
  vm: VmState,
  ranges: readonly RawRange[],
  by: 'guest' | 'vmm',
): { readonly error: number; readonly result: ProtectionResult } {
  const counts = vm.statistics.ranges;
  const weakened: Weakened[] = [];
  let applied = 0;
  const refuse = (at: number, fault: Fault): ReturnType<typeof apply> => {
    counts.refused += ranges.length - at;
    if (SETTER_REFUSES.has(fault.why)) hostLine(vm, 'failed', () => 'heki: Failed to set permissions');
    for (const range of ranges.slice(at)) emitRange(vm, range, 'refused');
    const result = { applied, weakened, refused: { at, why: fault.why } };
    vm.emit?.({ type: 'protected', by, result });
    return { error: fault.error, result };
  };

  if (!vm.defects['B-H6']) {
    const bad = firstFault(vm, ranges);
    if (bad !== undefined) {
      counts.refused += bad.at;
      for (const range of ranges.slice(0, bad.at)) emitRange(vm, range, 'refused');
      return refuse(bad.at, bad.fault);
    }
  }
  for (const [at, range] of ranges.entries()) {
    const fault = vm.defects['B-H6'] ? faultOf(vm, range) : undefined;
    if (fault !== undefined) return refuse(at, fault);
    const { outcome, permissions } = applyRange(vm, range);
    if (outcome === 'dropped') counts.dropped++;
    else counts.applied++;
    applied++;
    if (outcome === 'weakened') weakened.push(weakenedRange(range, permissions));
    emitRange(vm, range, outcome);
  }
  if (ranges.length > 0) {
    leaveAllNested(vm);
    if (vm.permissions.begin()) zapAll(vm);
  }
  const result = { applied, weakened };
  vm.emit?.({ type: 'protected', by, result });
  return { error: 0, result };
}

/** The first range that is refused; one that meets an earlier immutable range of the same list too. */
function firstFault(vm: VmState, ranges: readonly RawRange[]): { at: number; fault: Fault } | undefined {
  let locked: AttributeStore | undefined;
  for (const [at, range] of ranges.entries()) {
    const fault = faultOf(vm, range);
    if (fault !== undefined) return { at, fault };
    if (locked?.any(range.start, range.end, HEKI_ATTRIBUTE_IMMUTABLE) === true) {
      logImmutable(vm, range);
      return { at, fault: IMMUTABLE };
    }
    if ((range.permissions & MEM_ATTR_IMMUTABLE) !== 0 && at + 1 < ranges.length) {
      locked ??= createAttributeStore();
      locked.update(range.start, range.end, HEKI_ATTRIBUTE_IMMUTABLE, HEKI_ATTRIBUTE_IMMUTABLE);
    }
  }
  return undefined;
}

/** What is wrong with a range: heki_protect_memory()'s checks, then kvm_permissions_set()'s. */
function faultOf(vm: VmState, range: RawRange): Fault | undefined {
  const { start, end, startOffset, endOffset, permissions } = range;
  if (startOffset !== 0 || endOffset !== 0) {
    const [frame, offset] = startOffset !== 0 ? [start, startOffset] : [end, endOffset];
    const address = (BigInt(frame) << 12n) + BigInt(offset);
    hostLine(vm, 'unaligned', () => `heki: GPA not aligned: ${address.toString(16)}`);
    return { error: -KvmError.EINVAL, why: 'misaligned' };
  }
  if (permissions === 0 || permissions > MEM_ATTR_PROT) {
    return { error: -KvmError.EINVAL, why: 'bad-request' };
  }
  if (!vm.defects['B-H18'] && (permissions & MEM_ATTR_READ) === 0) {
    return { error: -KvmError.EINVAL, why: 'unsupported' };
  }
  if (end <= start) return { error: -KvmError.EINVAL, why: 'empty' };
  if (vm.defects['B-H5']) {
    if (end - start > vm.options.budget.frames || end > FRAME_END) {
      const text = `each frame of ${start.toString(16)}-${end.toString(16)} is reserved and stored on its own`;
      reportIncident(vm, 'host-exhaustion', 'B-H5', BigInt(end - start), 'frames', text);
      return { error: -KvmError.ENOMEM, why: 'no-memory' };
    }
  } else if (end > vm.slots.end || !vm.slots.overlaps(start, end)) {
    return { error: -KvmError.EINVAL, why: 'not-memory' };
  }
  if (vm.attributes.any(start, end, HEKI_ATTRIBUTE_IMMUTABLE)) {
    logImmutable(vm, range);
    return IMMUTABLE;
  }
  return undefined;
}

function logImmutable(vm: VmState, { start, end }: RawRange): void {
  vm.log.limited(
    'immutable',
    () =>
      `kvm: heki: Guest tried to change immutable permission for GFNs ${start.toString(16)}-${end.toString(16)}`,
  );
}

/** Stores a range that passed every check. EXEC comes back where it cannot be denied. */
function applyRange(
  vm: VmState,
  { start, end, permissions: wanted }: RawRange,
): { outcome: RangeOutcome; permissions: number } {
  const cannotDeny = (wanted & MEM_ATTR_EXEC) === 0 && !vm.tables.deniesExecution;
  const permissions = cannotDeny ? wanted | MEM_ATTR_EXEC : wanted;
  if (cannotDeny) {
    hostLine(vm, 'exec', () => 'heki: Clearing kernel exec depends on MBEC, which is disabled.');
  }
  hostLine(vm, 'request', () => {
    const kind = (permissions & MEM_ATTR_IMMUTABLE) !== 0 ? 'immutable' : 'mutable';
    const frames = `${start.toString(16)}-${end.toString(16)}`;
    return `heki: Request to protect GFNs ${frames} with ${kind} permissions=${permissionLogText(permissions)}`;
  });
  const done = setMemoryAttributes(vm, start, end, attributesOfPermissions(permissions), HEKI_ATTRIBUTE_MASK);
  if (done === 'nothing-to-do' && vm.defects['B-H1']) return { outcome: 'dropped', permissions };
  return { outcome: cannotDeny ? 'weakened' : 'applied', permissions };
}

function emitRange(vm: VmState, { start, end, permissions }: RawRange, outcome: RangeOutcome): void {
  vm.emit?.({ type: 'range', start, end, permissions, outcome });
}

function weakenedRange(range: RawRange, permissions: number): Weakened {
  return {
    range: {
      start: range.start as Gfn,
      end: range.end as Gfn,
      rights: rightsOfPermissions(range.permissions),
      immutable: (range.permissions & MEM_ATTR_IMMUTABLE) !== 0,
    },
    granted: rightsOfPermissions(permissions),
  };
}

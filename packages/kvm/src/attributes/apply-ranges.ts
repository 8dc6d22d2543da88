import {
  attributesOfPermissions,
  HEKI_ATTRIBUTE_MASK,
  MEM_ATTR_EXEC,
  MEM_ATTR_IMMUTABLE,
  permissionLogText,
} from '@heki/hypercall/kvm';
import {
  type ProtectionRange,
  type ProtectionResult,
  type Refusal,
  sameRights,
  type Weakened,
} from '@heki/hypervisor';
import type { RangeOutcome } from '../event.ts';

import { hostLine } from '../host/host-line.ts';
import type { RawRange } from '../hypercall/read-page-list.ts';
import { zapAll } from '../mmu/zap.ts';
import { leaveProtectedNested } from '../nested/nested.ts';
import type { HekiVmState, VmState } from '../vm-state.ts';
import { faultOf, firstFault, type RangeFault } from './check-range.ts';
import { rangeOfRaw, rightsOfPermissions } from './rights.ts';
import { setMemoryAttributes } from './set-attributes.ts';

/** Faults that kvm_permissions_set() finds; what is wrong with the list's own fields fails without a further line. */
const SETTER_REFUSES: ReadonlySet<Refusal> = new Set(['empty', 'immutable', 'no-memory', 'not-memory']);

/** The answer as an error number, and in the words of the contract. */
interface Applied {
  readonly error: number;
  readonly result: ProtectionResult;
}

/**
 * The second half of heki_protect_memory(): checks and applies `ranges`. The series does both range by range and
 * stops at the first bad one (B-H6); otherwise all are checked before the first is applied.
 *
 * @param asked the ranges in the words of the contract, when the host asks: they can want what a list of the guest cannot even
 * say, user execution denied, and that is weakened
 */
export function applyRanges(
  vm: HekiVmState,
  ranges: readonly RawRange[],
  by: 'guest' | 'vmm',
  asked?: readonly ProtectionRange[],
): Applied {
  vm.locks.assertHeld('slots_arch_lock');
  const counts = vm.statistics.ranges;
  const weakened: Weakened[] = [];
  let applied = 0;
  const refuse = (at: number, { error, why }: RangeFault): Applied => {
    counts.refused += ranges.length - applied;
    if (SETTER_REFUSES.has(why)) hostLine(vm, 'failed', () => 'heki: Failed to set permissions');
    for (const range of ranges.slice(applied)) emitRange(vm, range, 'refused');
    return answer(vm, by, error, { applied, weakened, refused: { at, why } });
  };

  if (!vm.defects['B-H6']) {
    const bad = firstFault(vm, ranges);
    if (bad !== undefined) return refuse(bad.at, bad.fault);
  }
  for (const range of ranges) {
    const fault = vm.defects['B-H6'] ? faultOf(vm, range) : undefined;
    if (fault !== undefined) return refuse(applied, fault);
    const outcome = applyRange(vm, range);
    if (outcome === 'dropped') counts.dropped++;
    else counts.applied++;
    const wanted = asked?.[applied] ?? rangeOfRaw(range);
    const granted = rightsOfPermissions(grantedPermissions(vm, range.permissions));
    if (!sameRights(granted, wanted.rights)) weakened.push({ range: wanted, granted });
    applied++;
    emitRange(vm, range, outcome);
  }
  if (ranges.length > 0) {
    if (vm.permissions.begin()) zapAll(vm);
    leaveProtectedNested(vm);
  }
  return answer(vm, by, 0, { applied, weakened });
}

/** What a range gets that asks for `wanted`: EXEC comes back where the kernel's execution cannot be denied. */
function grantedPermissions(vm: VmState, wanted: number): number {
  return vm.tables.deniesExecution ? wanted : wanted | MEM_ATTR_EXEC;
}

/** Stores a range that passed every check. */
function applyRange(vm: VmState, { start, end, permissions: wanted }: RawRange): RangeOutcome {
  const permissions = grantedPermissions(vm, wanted);
  const weaker = permissions !== wanted;
  if (weaker) {
    hostLine(vm, 'exec', () => 'heki: Clearing kernel exec depends on MBEC, which is disabled.');
  }
  hostLine(vm, 'request', () => {
    const kind = (permissions & MEM_ATTR_IMMUTABLE) !== 0 ? 'immutable' : 'mutable';
    const frames = `${start.toString(16)}-${end.toString(16)}`;
    return `heki: Request to protect GFNs ${frames} with ${kind} permissions=${permissionLogText(permissions)}`;
  });
  const bits = attributesOfPermissions(permissions);
  const done = setMemoryAttributes(vm, start, end, bits, HEKI_ATTRIBUTE_MASK);
  if (done === 'nothing-to-do' && vm.defects['B-H1']) return 'dropped';
  return weaker ? 'weakened' : 'applied';
}

function answer(vm: VmState, by: 'guest' | 'vmm', error: number, result: ProtectionResult): Applied {
  vm.emit?.({ type: 'protected', by, result });
  return { error, result };
}

function emitRange(vm: VmState, { start, end, permissions }: RawRange, outcome: RangeOutcome): void {
  vm.emit?.({ type: 'range', start, end, permissions, outcome });
}

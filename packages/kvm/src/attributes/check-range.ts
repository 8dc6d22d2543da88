import {
  HEKI_ATTRIBUTE_IMMUTABLE,
  KvmError,
  MEM_ATTR_EXEC,
  MEM_ATTR_IMMUTABLE,
  MEM_ATTR_PROT,
  MEM_ATTR_READ,
} from '@heki/hypercall/kvm';
import type { Refusal } from '@heki/hypervisor';
import { FRAME_END, type Pfn } from '@heki/physical-memory';
import { hostLine } from '../host/host-line.ts';
import { reportIncident } from '../host/incident.ts';
import type { RawRange } from '../hypercall/read-page-list.ts';
import { isImmutable } from '../memslots/host-frames.ts';
import { backingFrame } from '../memslots/memslot.ts';
import type { VmState } from '../vm-state.ts';
import { type AttributeStore, createAttributeStore } from './attribute-store.ts';

/** Why a range is refused, as an error number for the guest and in the words of the contract. */
export interface RangeFault {
  readonly error: number;
  readonly why: Refusal;
}

/** kvm_permissions_set() fails with the kernel's own numbers, which leak to the guest. */
const IMMUTABLE: RangeFault = { error: -KvmError.EPERM, why: 'immutable' };

/** What is wrong with a range: heki_protect_memory()'s checks, then kvm_permissions_set()'s. */
export function faultOf(vm: VmState, range: RawRange): RangeFault | undefined {
  const { start, end, startOffset, endOffset, permissions } = range;
  if (startOffset !== 0 || endOffset !== 0) {
    const [frame, offset] = startOffset !== 0 ? [start, startOffset] : [end, endOffset];
    const address = (BigInt(frame) << 12n) + BigInt(offset);
    hostLine(vm, 'unaligned', () => `heki: GPA not aligned: ${address.toString(16)}`);
    return { error: -KvmError.EINVAL, why: 'misaligned' };
  }
  if (permissions === 0) return { error: -KvmError.EINVAL, why: 'unsupported' };
  if (permissions > MEM_ATTR_PROT) return { error: -KvmError.EINVAL, why: 'bad-request' };
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
  } else if (!isMemory(vm, start, end)) {
    return { error: -KvmError.EINVAL, why: 'not-memory' };
  }
  if (isImmutable(vm, start, end)) {
    logImmutable(vm, range);
    return IMMUTABLE;
  }
  const grants = (permissions & MEM_ATTR_EXEC) !== 0 && !mayExecute(vm, start, end);
  return grants ? { error: -KvmError.EPERM, why: 'not-permitted' } : undefined;
}

/** Whether nobody but the owner of the code would have to let the kernel execute these frames: what it has not made stays data. */
function mayExecute({ code, slots }: VmState, start: number, end: number): boolean {
  if (code?.authority.sealed !== true) return true;
  let all = true;
  slots.forEachIn(start, end, (slot, from, to) => {
    all &&= code.rights.allExecute(backingFrame(slot, from), (backingFrame(slot, from) + (to - from)) as Pfn);
  });
  return all;
}

/** Whether `start` .. `end` - 1 lies below the end of memory and has some: holes are allowed, as direct maps have them. */
export function isMemory(vm: VmState, start: number, end: number): boolean {
  return end <= vm.slots.end && vm.slots.overlaps(start, end);
}

/** The first range that is refused; one that meets an earlier immutable range of the same list is. */
export function firstFault(
  vm: VmState,
  ranges: readonly RawRange[],
): { readonly at: number; readonly fault: RangeFault } | undefined {
  let locked: AttributeStore | undefined;
  for (const [at, range] of ranges.entries()) {
    const { start, end, permissions } = range;
    const fault = faultOf(vm, range);
    if (fault !== undefined) return { at, fault };
    if (locked?.any(start, end, HEKI_ATTRIBUTE_IMMUTABLE) === true) {
      logImmutable(vm, range);
      return { at, fault: IMMUTABLE };
    }
    if ((permissions & MEM_ATTR_IMMUTABLE) !== 0 && at + 1 < ranges.length) {
      locked ??= createAttributeStore();
      locked.update(start, end, HEKI_ATTRIBUTE_IMMUTABLE, HEKI_ATTRIBUTE_IMMUTABLE);
    }
  }
  return undefined;
}

function logImmutable(vm: VmState, { start, end }: RawRange): void {
  vm.log.limited('immutable', () => {
    const frames = `${start.toString(16)}-${end.toString(16)}`;
    return `kvm: heki: Guest tried to change immutable permission for GFNs ${frames}`;
  });
}

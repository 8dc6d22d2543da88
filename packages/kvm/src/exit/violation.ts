import { frameOf, type VirtualAddress } from '@heki/physical-memory';
import { type Exception, type Vcpu, Vector } from '@heki/vcpu';
import { PageFaultCode } from '@heki/x86';
import { isTaken, rightsOf } from '../memslots/host-frames.ts';
import { leafRights } from '../mmu/map-fault.ts';
import type { GuestFault } from '../mmu/page-fault.ts';
import type { VmState } from '../vm-state.ts';
import type { Handled } from './handled.ts';

/** fault_gva() when there is none (Heki v2 6/19). */
const NO_ADDRESS = 0xffff_ffff_ffff_ffffn as VirtualAddress;

/** What the guest gets for an access that its rights forbid. */
export function denyAccess(vm: VmState, vcpu: Vcpu, fault: GuestFault): Handled {
  const { gpa, linear, access, fetch } = fault;
  const cr2 = faultAddress(vm, vcpu, fault);
  vm.log.limited(fetch ? 'fetch #PF' : 'write #PF', () => {
    const address = cr2.toString(16).padStart(16, '0');
    const gfn = frameOf(gpa).toString(16);
    return `heki: Creating ${fetch ? 'fetch' : 'write'} #PF at 0x${address} GFN=${gfn}`;
  });
  const exception: Exception = { vector: Vector.PF, errorCode: injectedCode(vm, vcpu, fault), cr2 };
  vm.statistics.injected++;
  if (vm.emit !== undefined) {
    const denial = { kind: 'memory', gpa, linear, access } as const;
    vm.emit({ type: 'denied', vcpu: vcpu.id, denial, verdict: 'page-fault' });
    vm.emit({ type: 'injected', vcpu: vcpu.id, exception, because: 'rights' });
  }
  return { action: { kind: 'inject', exception } };
}

/**
 * mem_attr_fault(): whether the rights forbid the access of a fault. A not-present fault is always an ordinary one: so a page that was
 * just zapped is mapped by the first access and the second one meets its rights (Heki v2 11/19).
 */
export function isForbidden(vm: VmState, fault: GuestFault): boolean {
  if (isTaken(vm, frameOf(fault.gpa))) return true;
  if (!fault.present) return false;
  const rights = rightsOf(vm, frameOf(fault.gpa));
  const fetch = fault.fetch && !rights.supervisorExecute;
  const write = fault.write && !rights.write;
  if (fetch && !vm.defects['B-H16'] && canExecuteMore(vm, fault)) return false;
  return fetch || write;
}

/**
 * Whether the leaf denies execution that the attributes allow, as a large one does under the workaround for iTLB
 * multihit: then it must be rebuilt, and the access breaks no rule.
 */
function canExecuteMore(vm: VmState, fault: GuestFault): boolean {
  const gfn = frameOf(fault.gpa);
  const leaf = vm.tables.editor.leaf(gfn);
  if (vm.slots.find(gfn) === undefined || leaf === undefined) return false;
  const now = vm.tables.format.rights(leaf.entry);
  const wanted = leafRights(vm, gfn);
  return (wanted.userExecute && !now.userExecute) || (wanted.supervisorExecute && !now.supervisorExecute);
}

/**
 * The low half of KVM's error code, as the series takes it. Every access of a guest is a user access for nested paging, so that AMD's says
 * nothing of the guest's mode, which its CPL tells.
 */
function injectedCode(vm: VmState, vcpu: Vcpu, { errorCode }: GuestFault): number {
  const code = errorCode % 0x1_0000;
  if (vm.options.processor.vendor !== 'amd' || vm.defects['B-H17']) return code;
  return (code & ~PageFaultCode.U) | (vcpu.registers.cpl === 3 ? PageFaultCode.U : 0);
}

/** fault_gva(): on AMD the series takes CR2, which a nested page fault does not set (B-H17). */
function faultAddress(vm: VmState, vcpu: Vcpu, fault: GuestFault): VirtualAddress {
  if (fault.linear !== undefined) return fault.linear;
  const { cr2 } = vcpu.registers;
  const stale = vm.options.processor.vendor === 'amd' && vm.defects['B-H17'] && cr2 !== 0n;
  return stale ? cr2 : NO_ADDRESS;
}

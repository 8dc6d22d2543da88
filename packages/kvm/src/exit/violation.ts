import { frameOf, type VirtualAddress } from '@heki/physical-memory';
import { type Exception, type Vcpu, Vector } from '@heki/vcpu';
import type { GuestFault } from '../mmu/page-fault.ts';
import type { VmState } from '../vm-state.ts';
import type { Handled } from './handled.ts';

/** fault_gva() when there is none (Heki v2 6/19). */
const NO_ADDRESS = 0xffff_ffff_ffff_ffffn as VirtualAddress;

/** What the guest gets for an access that its rights forbid, or `undefined` when the fault is an ordinary one. */
export function violationOf(vm: VmState, vcpu: Vcpu, fault: GuestFault): Handled | undefined {
  const exception = exceptionOf(vm, vcpu, fault);
  if (exception === undefined) return undefined;
  vm.statistics.injected++;
  if (vm.emit !== undefined) {
    const { gpa, linear, access } = fault;
    const denial = { kind: 'memory', gpa, linear, access } as const;
    vm.emit({ type: 'denied', vcpu: vcpu.id, denial, verdict: 'page-fault' });
    vm.emit({ type: 'injected', vcpu: vcpu.id, exception, because: 'rights' });
  }
  return { action: { kind: 'inject', exception } };
}

/**
 * mem_attr_fault(). A not-present fault is always an ordinary one: so a page that was just zapped is mapped by the first access and
 * the second one meets its rights (Heki v2 11/19).
 */
function exceptionOf(vm: VmState, vcpu: Vcpu, fault: GuestFault): Exception | undefined {
  if (!fault.present) return undefined;
  const gfn = frameOf(fault.gpa);
  const rights = vm.owner.rightsOf(gfn);
  const fetch = fault.fetch && !rights.supervisorExecute;
  const write = fault.write && !rights.write;
  if (!fetch && !write) return undefined;
  if (fetch && !vm.defects['B-H16'] && canExecuteMore(vm, fault)) return undefined;

  const cr2 = faultAddress(vm, vcpu, fault);
  vm.log.limited(fetch ? 'fetch #PF' : 'write #PF', () => {
    const address = cr2.toString(16).padStart(16, '0');
    return `heki: Creating ${fetch ? 'fetch' : 'write'} #PF at 0x${address} GFN=${gfn.toString(16)}`;
  });
  return { vector: Vector.PF, errorCode: fault.errorCode % 0x1_0000, cr2 };
}

/**
 * Whether the leaf denies execution that the attributes allow, as a large one does under the workaround for iTLB
 * multihit: then it must be rebuilt, and nobody is to blame.
 */
function canExecuteMore(vm: VmState, fault: GuestFault): boolean {
  const gfn = frameOf(fault.gpa);
  const slot = vm.slots.find(gfn);
  const leaf = vm.tables.editor.leaf(gfn);
  if (slot === undefined || leaf === undefined) return false;
  const now = vm.tables.format.rights(leaf.entry);
  const wanted = vm.tables.format.rights(
    vm.tables.format.make({
      rights: vm.owner.rightsOf(gfn),
      writable: true,
      executable: true,
      writeProtect: false,
    }),
  );
  return (wanted.userExecute && !now.userExecute) || (wanted.supervisorExecute && !now.supervisorExecute);
}

/** fault_gva(): on AMD the series takes CR2, which a nested page fault does not set. */
function faultAddress(vm: VmState, vcpu: Vcpu, fault: GuestFault): VirtualAddress {
  if (fault.linear !== undefined) return fault.linear;
  const { cr2 } = vcpu.registers;
  const stale = vm.options.processor.vendor === 'amd' && vm.defects['B-H17'] && cr2 !== 0n;
  return stale ? cr2 : NO_ADDRESS;
}

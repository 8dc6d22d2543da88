import type { MemoryAccess, Rights } from '@heki/hypervisor';
import type { VirtualAddress } from '@heki/physical-memory';
import { type Exception, type ExitAction, type Vcpu, Vector } from '@heki/vcpu';
import { GENERAL_PROTECTION } from '../control-registers/control-registers.ts';
import type { GuestFault } from '../mmu/page-fault.ts';
import type { DenialAnswer } from './policy.ts';

/** What a #PF names when the linear address is not known. */
const NO_ADDRESS = 0xffff_ffff_ffff_ffffn as VirtualAddress;

/**
 * Whether `rights` forbid the access of a fault. They are looked at before anything is mapped: memory without any access never
 * gets a leaf. Only a fetch where one of the two kinds of code may execute has to meet a leaf first, because a fault does not say on
 * every processor which kind it was.
 */
export function isDenied(rights: Rights, fault: GuestFault): boolean {
  if (!fault.fetch) return fault.write ? !rights.write : !rights.read;
  const { supervisorExecute, userExecute } = rights;
  if (supervisorExecute === userExecute) return !userExecute;
  return fault.present;
}

/** What user space makes of a memory-fault exit: whether kernel or user code fetched it takes from the CPL. */
export function accessAsTold({ fetch, write }: GuestFault, { registers }: Vcpu): MemoryAccess {
  if (fetch) return registers.cpl === 0 ? 'supervisor-execute' : 'user-execute';
  return write ? 'write' : 'read';
}

/** The #PF that user space can make up (SDM 3A 4.7): present, write, user, fetch. */
export function pageFaultFor({ fetch, write }: GuestFault, { registers }: Vcpu): Exception {
  const errorCode = 1 | (write ? 2 : 0) | (registers.cpl === 0 ? 0 : 4) | (fetch ? 16 : 0);
  return { vector: Vector.PF, errorCode, cr2: NO_ADDRESS };
}

/** How a virtual CPU goes on after its owner has answered: KVM_SET_VCPU_EVENTS, KVM_SET_REGS, or no KVM_RUN any more. */
export function actionOf(answer: DenialAnswer, pageFault: Exception): ExitAction {
  switch (answer) {
    case 'page-fault':
      return { kind: 'inject', exception: pageFault };
    case 'general-protection':
      return { kind: 'inject', exception: GENERAL_PROTECTION };
    case 'skip':
      return { kind: 'skip' };
    case 'stop':
      return { kind: 'stop', why: 'the owner of the policy ended the machine after a denied access' };
    case 'retry':
      return { kind: 'resume' };
  }
}

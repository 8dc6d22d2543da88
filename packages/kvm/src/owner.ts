import type { AskedFrames, Rights } from '@heki/hypervisor';
import type { Gfn } from '@heki/physical-memory';
import type { Vcpu } from '@heki/vcpu';
import type { PinBinding } from './control-registers/pin-binding.ts';
import type { Handled } from './exit/handled.ts';
import type { UserExit } from './exit/vmm.ts';
import type { GuestFault } from './mmu/page-fault.ts';

/** What becomes of a hypercall: KVM's own answer, or the one that user space gives when KVM_RUN has returned. */
export type HypercallAnswer =
  | { readonly result: number; readonly userExit?: UserExit | undefined }
  | { readonly inUserSpace: () => number };

/**
 * Who decides about rights and registers: what differs between KVM as the series has it, where the guest's kernel does, and a
 * KVM that asks somebody else. Slots, attributes, second-level tables and their faults are the same under each.
 */
export interface Owner {
  /** The rights that a frame's attributes stand for; what binds an access is in `memslots/host-frames.ts`. */
  rightsOf(gfn: Gfn): Rights;
  /** What was asked for frames of `start` .. `end` - 1, in order; those that are left out have the rights of memory without a request. */
  asked(start: Gfn, end: Gfn): readonly AskedFrames[];
  /** Whether an earlier request forbids the guest's later ones for a frame of `start` .. `end` - 1. */
  isImmutable(start: number, end: number): boolean;
  /** Attribute bits that user space may set. */
  readonly userAttributes: number;
  /** Whether these bits of {@link userAttributes} make sense together. */
  isLegal(attributes: number): boolean;
  /** A hypercall from CPL 0 that KVM itself has nothing to say to; `undefined` when there is none with this number. */
  hypercall(vcpu: Vcpu, number: bigint, a0: bigint, a1: bigint, a2: bigint): HypercallAnswer | undefined;
  /** Whether the rights forbid the access of a fault; otherwise it is mapped. */
  forbids(fault: GuestFault): boolean;
  /** What an access leads to that the rights forbid. */
  denied(vcpu: Vcpu, fault: GuestFault): Handled;
  /** What a MOV to a control register leads to that must not be carried out. */
  registerWrite(vcpu: Vcpu, binding: PinBinding, cr: 0 | 4, value: bigint): Handled | undefined;
}

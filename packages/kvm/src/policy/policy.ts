import type { Denial, ProtectionRange, Verdict } from '@heki/hypervisor';

/** What the owner does about a denied access. */
export type DenialAnswer =
  | Exclude<Verdict, 'allow-once'>
  /**
   * The guest executes the instruction again, against whatever rights and pins the owner has set meanwhile. When it has
   * changed nothing, the guest gets nowhere: a livelock.
   */
  | 'retry';

/** The rights that an owner gives a range instead of those that the guest wants. */
export type AmendedRange = Pick<ProtectionRange, 'rights' | 'immutable'>;

/**
 * The decisions of whoever owns the policy. Each hears what the guest wants once it is well-formed, and gets the machine, with
 * which it can do more: protect other memory, relax rights that it had made immutable, save what is enforced. What is left out is
 * allowed; a denied access to memory becomes #PF, a denied write of a register #GP(0), as in the series.
 */
export interface HekiPolicy<Machine> {
  /** Ranges of hypercall 14: taken, refused as a whole (-KVM_EPERM), or given other rights, one amendment for each. */
  protect?(ranges: readonly ProtectionRange[], vm: Machine): 'allow' | 'refuse' | readonly AmendedRange[];
  /** Bits of CR0 or CR4 that hypercall 13 wants pinned, and that the guest has set. */
  pin?(register: 0 | 4, bits: bigint, vm: Machine): 'allow' | 'refuse';
  /** The guest says that boot has ended. Once that is allowed, its requests are refused without being heard. */
  endOfBoot?(vm: Machine): 'allow' | 'refuse';
  /**
   * A denied access. The exit tells neither a linear address nor a byte within the page. A register write cannot fault: for it
   * `page-fault` means `general-protection`.
   */
  denied?(denial: Denial, vm: Machine): DenialAnswer;
}

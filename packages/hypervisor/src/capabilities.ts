import type { Verdict } from './denial.ts';

/**
 * Which of the two execute rights a backend can withhold.
 *
 * - `none`: one execute right for everybody (Xen memory access, EPT without mode-based execute control)
 * - `user-without-supervisor`: supervisor execution can be denied alone, user execution only together with it
 *   (GMET; any interface that restricts only the kernel)
 * - `full`: each on its own
 */
export type ExecuteSplit = 'none' | 'user-without-supervisor' | 'full';

/** What can be made unchangeable, and who may undo it. */
export type Immutability =
  | { readonly kind: 'none' }
  | {
      /** A page can be marked, and later requests for it are refused. */
      readonly kind: 'per-page';
      readonly undoneBy: 'nobody' | 'vmm' | 'policy-owner';
    }
  | {
      /** After an end-of-boot call every request of the guest is refused; the owner of the policy may still relax. */
      readonly kind: 'end-of-boot';
      readonly undoneBy: 'policy-owner';
    };

/** Who may change the rights of a guest page. */
export type PolicyOwner = 'guest-kernel' | 'vmm' | 'higher-privilege-level' | 'another-domain';

/** Accesses to guest memory that the rights do not bind. */
export type Bypass = 'dma' | 'vmm' | 'hypervisor-writes' | 'emulator' | 'nested-guest';

/** A register outside CR0 and CR4 that a backend can watch. */
export type PinnableRegister = 'cr3' | 'gdtr' | 'idtr' | 'ldtr' | 'tr' | { readonly msr: number };

/** What a pinned register means. */
export type PinSemantics =
  /** Bits that were set stay set; the rest is free. */
  | 'set-bits-stay-set'
  /** The pinned bits keep the values that they had. */
  | 'exact-value'
  /** No write of the register at all. */
  | 'whole-register';

/** What a backend can do, said honestly: the conformance kit fails a capability that is declared and not kept. */
export interface Capabilities {
  /** Who asks for rights. */
  readonly policyOwner: PolicyOwner;
  readonly executeSplit: ExecuteSplit;
  /** The right to execute can be given without the right to read. */
  readonly executeOnly: boolean;
  /** The right to read can be withheld. */
  readonly readDenial: boolean;
  readonly immutability: Immutability;
  /** Bytes of the smallest piece of memory with rights of its own. */
  readonly granule: 4096;
  /** Large second-level leaves are split by the backend, or the caller must ask page by page. */
  readonly largePages: 'split-by-backend' | 'split-by-caller';
  readonly pins: {
    /** Bits of CR0 that can be pinned. */
    readonly cr0: bigint;
    /** Bits of CR4 that can be pinned. */
    readonly cr4: bigint;
    readonly registers: readonly PinnableRegister[];
    readonly semantics: PinSemantics;
  };
  readonly bypasses: readonly Bypass[];
  /** Most ranges in one call; absent when only the backend's budget bounds it. */
  readonly rangesPerCall?: number;
  /** When a page's new rights bind every virtual CPU: when the call returns, or at the next {@link VirtualMachine.flush}. */
  readonly inForce: 'on-return' | 'on-flush';
  /** A request that fails leaves nothing changed, or everything before the range that failed. */
  readonly failure: 'all-or-nothing' | 'stops-at-first';
  /** What a denied access can be answered with. */
  readonly verdicts: readonly Verdict[];
  /** Protection can be taken out of one virtual machine and put into another. */
  readonly saveRestore: boolean;
}

import type { Verdict } from './denial.ts';
import type { Rights } from './rights.ts';

/**
 * Which of the two execute rights a backend can withhold. What cannot be withheld is granted and reported as weakened.
 *
 * - `never-denied`: neither (Heki on EPT without mode-based execute control)
 * - `none`: one execute right for both kinds of code, denied to both or to none (Xen memory access)
 * - `supervisor-only`: the kernel's; user code may always execute (Heki on MBEC or GMET)
 * - `user-without-supervisor`: the kernel's alone, or both (GMET with every interface that uses all of it)
 * - `full`: each on its own
 */
export type ExecuteSplit = 'never-denied' | 'none' | 'supervisor-only' | 'user-without-supervisor' | 'full';

/** What can be made unchangeable, and who may undo it. */
export type Immutability =
  | { readonly kind: 'none' }
  | {
      /** A page can be marked, and later requests for it are refused. */
      readonly kind: 'per-page';
      /**
       * - `none`: nothing does, as long as the virtual machine is there
       * - `policy-owner`: by any later request of its own, which is not a guest's
       * - `vmm`: by no request, only by replacing all that is enforced ({@link VirtualMachine.restore}, reset)
       */
      readonly undoneBy: 'none' | 'vmm' | 'policy-owner';
    }
  | {
      /**
       * After an end-of-boot call every request of the guest for rights is refused as `not-permitted`; the owner of the policy may
       * still relax. A new boot (a reset or kexec that clears) begins anew.
       */
      readonly kind: 'end-of-boot';
      readonly undoneBy: 'policy-owner';
    };

/** Who may change the rights of a guest page. */
export type PolicyOwner = 'guest-kernel' | 'vmm' | 'higher-privilege-level' | 'another-domain';

/** Accesses to guest memory that the rights do not bind. */
export type Bypass = 'dma' | 'vmm' | 'hypervisor-writes' | 'emulator' | 'nested-guest';

/** A register outside CR0 and CR4 that can be pinned: no write that changes it succeeds. */
export type PinnableRegister = 'cr3' | 'gdtr' | 'idtr' | 'ldtr' | 'tr' | { readonly msr: number };

/** The name of a register in a `Denial`: `idtr`, `msr c0000082`, `msr 00000176`. */
export function registerName(register: PinnableRegister): string {
  return typeof register === 'string' ? register : `msr ${register.msr.toString(16).padStart(8, '0')}`;
}

/** What a pin of CR0 or CR4 bits means. */
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
  /** Rights of memory without a request, from the first successful request on. Before it, everything is allowed. */
  readonly unrequested: Rights;
  /** Bytes of the smallest piece of memory with rights of its own. */
  readonly granule: 4096;
  /** Large second-level leaves are split by the backend, or the caller must ask page by page, each in a range of its own. */
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
  /**
   * Most ranges in one call, the guest's or the owner's; with one more all of them are refused as `too-much`. Absent when only the
   * backend's budget bounds it.
   */
  readonly rangesPerCall?: number;
  /** When a page's new rights bind every virtual CPU: when the call returns, or at the next {@link VirtualMachine.flush}. */
  readonly inForce: 'on-return' | 'on-flush';
  /** A request that fails leaves nothing changed, or everything before the range that failed. */
  readonly failure: 'all-or-nothing' | 'stops-at-first';
  /**
   * Who decides what is done about a denial: a fixed rule of the hypervisor, which answers the same with the same, or whoever
   * gets it as an event.
   */
  readonly denialsDecidedBy: 'hypervisor' | PolicyOwner;
  /** What a denied access can be answered with. */
  readonly verdicts: readonly Verdict[];
  /**
   * `code`: an owner outside the guest lets the kernel execute, once it is sealed, what it has made from signed files and nothing else.
   * Absent where whoever may ask for rights may ask for execution.
   */
  readonly authenticates?: 'code';
  /** What reset and kexec do to rights and pins. After INIT a pin lets its processor start. */
  readonly lifeCycle: { readonly reset: 'clear' | 'keep'; readonly kexec: 'clear' | 'keep' };
  /** Protection can be taken out of one virtual machine and put into another. */
  readonly saveRestore: boolean;
}

/**
 * The rights that a backend with these capabilities gives a page for which `wanted` is asked: the least that it can
 * enforce and that allows all of `wanted`. A request for which they differ is taken as {@link Weakened}, or refused
 * as `unsupported`.
 */
export function grantableRights(
  capabilities: Pick<Capabilities, 'executeSplit' | 'executeOnly' | 'readDenial'>,
  wanted: Rights,
): Rights {
  const { executeSplit, executeOnly, readDenial } = capabilities;
  let { supervisorExecute, userExecute } = wanted;
  switch (executeSplit) {
    case 'never-denied':
      supervisorExecute = true;
      userExecute = true;
      break;
    case 'none':
      supervisorExecute ||= userExecute;
      userExecute = supervisorExecute;
      break;
    case 'supervisor-only':
      userExecute = true;
      break;
    case 'user-without-supervisor':
      userExecute ||= supervisorExecute;
      break;
    case 'full':
  }
  const executes = supervisorExecute || userExecute;
  // No second level can express write without read (SDM 3C 30.3.3.1; AMD has no read bit at all).
  const read = wanted.read || wanted.write || !readDenial || (executes && !executeOnly);
  return { read, write: wanted.write, supervisorExecute, userExecute };
}

import type { Denial } from '@heki/hypervisor';
import type { VirtualAddress } from '@heki/physical-memory';
import type { Exception, ExitAction, VmExit } from '@heki/vcpu';
import type { AccessKind, Rule } from '@heki/x86';

/** How an attack ended. */
export type AttackOutcome =
  /** The attacker got what he wanted. */
  | 'succeeded'
  /** An exception ended the attempt; the kernel goes on. */
  | 'blocked'
  /** The attempt faults and is retried for ever: it has no effect, and the virtual CPU does nothing else. */
  | 'livelock'
  /** The guest as a whole died. */
  | 'crashed'
  /** What it is about does not exist: nothing is mapped or no memory is there, no SMEP to clear, no NX. Neither stopped nor not stopped. */
  | 'not-tried';

/** What stood in the way of an attack, as the processor and the hypervisor told it. */
export type Defence =
  /** R/W, U/S or XD in the guest's own page tables: the processor raised #PF by itself. */
  | 'guest-page-tables'
  /** Another rule of the processor: reserved bits, SMEP, SMAP, a protection key, a control register value that it does not take. */
  | 'processor'
  /** The rights in the hypervisor's tables: EPT or nested paging. */
  | 'second-level'
  /** A bit of CR0 or CR4 that the hypervisor pins: it reported the write as denied. */
  | 'cr-pin'
  /** Another register that the hypervisor pins. */
  | 'register-pin'
  /** The hypervisor, which did not say why. */
  | 'hypervisor';

/** A rule of the processor that an instruction broke. */
export interface BrokenRule {
  /** Of paging; `undefined` for a rule about registers or addresses. */
  readonly rule: Rule | undefined;
  /** `R/W=0 in PTE`, `CR4 bits 0x2000 are reserved on this processor`. */
  readonly text: string;
}

/** The bytes at the address of a load, a store or a fetch, as the guest's page tables lead to them. */
export interface AccessedBytes {
  readonly address: VirtualAddress;
  readonly access: AccessKind;
  /** At most 16, before and after the instruction: fewer where those that follow are not mapped, or not in the snapshot. Never none. */
  readonly before: Uint8Array;
  readonly after: Uint8Array;
}

/** One instruction of an attack, and what it met. */
export interface AttackStep {
  /** `store 0xcc to 0xffffffff81000000`. */
  readonly text: string;
  readonly outcome: 'done' | 'exception' | 'livelock' | 'halted' | 'absent-table';
  /** The exception that ended it or that comes again and again. */
  readonly exception: Exception | undefined;
  /** The exception was injected by the hypervisor. */
  readonly injected: boolean;
  /** The exits to the hypervisor on the way, in order; a livelock's only once. */
  readonly exits: readonly VmExit[];
  /**
   * The last exit after which the hypervisor did not just let the guest try again: it injected an exception, went on behind the
   * instruction, or stopped the machine.
   */
  readonly answered: { readonly exit: VmExit; readonly action: ExitAction } | undefined;
  /** The last refusal that the hypervisor reported, unless it carried the access out all the same. */
  readonly denial: Denial | undefined;
  /** Why the processor's own rules refuse it, as far as the guest's page tables and registers tell. */
  readonly broken: BrokenRule | undefined;
  /** No memory is there: a load read ones, a store was lost, code could not be run. */
  readonly withoutMemory: boolean;
  /** Why the model goes no further, where a processor would: what it did not come to, nobody stopped. */
  readonly unmodelled?: string | undefined;
  /** The bytes concerned are not in the snapshot: every check was made, but there are no contents to show. */
  readonly contentsAbsent: boolean;
  /** `undefined` for what is no access, and where the bytes are not in the snapshot or nobody asked for them. */
  readonly bytes?: AccessedBytes | undefined;
}

/** The outcome of an attack. */
export interface AttackResult {
  readonly name: string;
  readonly outcome: AttackOutcome;
  readonly by: Defence | null;
  /** The page or register that was attacked: an address, or `undefined` for a register. */
  readonly target: VirtualAddress | undefined;
  /** The step that decided. */
  readonly decisive: AttackStep | undefined;
  readonly steps: readonly AttackStep[];
  /** What was at the target before the attack, and when it was decided; `undefined` where the target is no address, or has no contents. */
  readonly bytes?: AccessedBytes | undefined;
  /** Why it ended so, in one sentence. */
  readonly reason: string;
}

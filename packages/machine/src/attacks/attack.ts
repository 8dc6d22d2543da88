import type { VirtualAddress } from '@heki/physical-memory';
import type { AttackStep } from './attack-step.ts';
import type { Attacker } from './attacker.ts';
import type { KernelTargets } from './targets.ts';

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
  /** The snapshot has no target for it. */
  | 'not-tried';

/** What stood in the way of an attack. */
export type Defence =
  /** The rights in the guest's own page tables: the processor raised #PF by itself. */
  | 'guest-page-tables'
  /** The rights in the hypervisor's tables: EPT or nested paging. */
  | 'second-level'
  /** A pinned control register bit. */
  | 'cr-pin';

/** What came of an attack. */
export interface AttackResult {
  readonly name: AttackName;
  readonly outcome: AttackOutcome;
  readonly by: Defence | null;
  /** The page or register that was attacked: an address, or `undefined` for a register. */
  readonly target: VirtualAddress | undefined;
  /** The step that decided. */
  readonly decisive: AttackStep | undefined;
  readonly steps: readonly AttackStep[];
  /** Why it ended so, in one sentence. */
  readonly reason: string;
}

/** Names of the attacks, and of the legitimate store that must work. `switch-heki-off` needs a kernel that lives. */
export type AttackName =
  | 'store-text'
  | 'store-text-direct-map'
  | 'store-text-after-pte-edit'
  | 'execute-data'
  | 'clear-smep'
  | 'switch-heki-off'
  | 'store-data';

/** An attack with the attacker's means alone: instructions of the kernel at CPL 0. */
export interface Attack {
  readonly name: AttackName;
  /** `store to kernel text`. */
  readonly title: string;
  /** What a success would mean, in one sentence. */
  readonly meaning: string;
  /** Whether it is no attack, but work that protection must not break. */
  readonly legitimate: boolean;
  run(attacker: Attacker, targets: KernelTargets): AttackVerdict;
}

/** What an attack finds; its steps are the attacker's records. */
export type AttackVerdict = Pick<AttackResult, 'outcome' | 'target' | 'decisive' | 'reason'>;

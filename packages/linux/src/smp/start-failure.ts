import type { VirtualAddress } from '@heki/physical-memory';
import type { Outcome } from '@heki/vcpu';

/** How far a starting processor has come. */
export type StartPhase = 'real-mode' | 'protected-mode' | 'long-mode' | 'kernel';

/** What kept a processor from starting. */
export interface StartFailure {
  readonly phase: StartPhase;
  readonly access: 'fetch' | 'instruction';
  readonly address: VirtualAddress;
  readonly outcome: Exclude<Outcome, { kind: 'done' }>;
}

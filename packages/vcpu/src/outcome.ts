import type { VirtualAddress } from '@heki/physical-memory';
import type { Exception, ExceptionDecision } from './exceptions/exception.ts';
import type { VmExit } from './exit.ts';
import type { ExitAction } from './exit-action.ts';

/** One turn of an instruction that did not complete: it left the guest, or it raised an exception. */
export type Turn =
  | { readonly kind: 'exit'; readonly exit: VmExit; readonly action: ExitAction }
  | { readonly kind: 'exception'; readonly exception: Exception; readonly decision: ExceptionDecision };

/** How an instruction ended. */
export type Outcome<Value = undefined> =
  | {
      /** It completed. RIP is behind it. */
      readonly kind: 'done';
      readonly value: Value;
      /**
       * Some of its bytes lie in a host page that is absent (no memory there, or not in the snapshot): they
       * read as ones and stores to them were lost. All permission checks were made.
       */
      readonly absent?: true;
    }
  | {
      /** An exception ended it without effect. RIP is still at it. */
      readonly kind: 'exception';
      readonly vector: number;
      readonly errorCode: number;
      readonly cr2?: VirtualAddress | undefined;
      /** The guest's handler went on through its exception table; otherwise the fault is fatal to its context. */
      readonly fixedUp: boolean;
    }
  | {
      /** It would fault or exit at the same place for ever: the same turns, again and again, change nothing. */
      readonly kind: 'livelock';
      /** One period of the repetition. */
      readonly cycle: readonly Turn[];
      /** How often the cycle was seen before it was given up. */
      readonly repetitions: number;
    }
  | {
      /** The walk needs a page-table page that memory does not hold: what the processor would do is unknown. */
      readonly kind: 'absent-table';
      /** The host-physical address of the entry that is not there. */
      readonly entry: number;
    }
  | {
      /**
       * A fault while delivering #DF: the virtual CPU stands still until it is reset, unless the hypervisor goes on (with the hypervisor of
       * a guest inside the guest).
       */
      readonly kind: 'triple-fault';
    }
  | {
      /** The hypervisor ended the VM; the virtual CPU stands still until it is reset. Or INIT or RESET came first, and it begins anew. */
      readonly kind: 'stopped';
      /** The model goes no further where a processor would. */
      readonly unmodelled?: true;
      readonly why: string;
    };

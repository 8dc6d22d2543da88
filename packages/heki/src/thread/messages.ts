import type { MessagePort } from 'node:worker_threads';
import type { ModuleCall } from '../modules/module-call.ts';

/** What a thread that runs a command is given. */
export interface ThreadData {
  readonly args: readonly string[];
  readonly stdout: OutputTraits;
  readonly stderr: OutputTraits;
  /** See `ModuleWatch`. */
  readonly cells: Int32Array;
  /** Where both talk. The thread's `parentPort` is within reach of modules, which could say what they like there. */
  readonly port: MessagePort;
}

/** What an output is, but for where it leads. */
export interface OutputTraits {
  readonly isTerminal: boolean;
  readonly columns: number | undefined;
}

/** What the thread says. */
export type FromThread =
  | {
      readonly type: 'write';
      readonly id: number;
      readonly to: 'stdout' | 'stderr';
      readonly data: string | Uint8Array;
    }
  /** A call of a module will be made for the first time. */
  | { readonly type: 'call'; readonly call: ModuleCall }
  /** The command asks to be told when it is interrupted. */
  | { readonly type: 'interruptible' }
  /** The command reads standard input as a stream. */
  | { readonly type: 'wants-input' }
  | { readonly type: 'done'; readonly exitCode: number };

/** What the thread is told. */
export type ToThread =
  | {
      readonly type: 'written';
      readonly id: number;
      /** `closed`: the reader has gone. */
      readonly failure:
        | undefined
        | 'closed'
        | ({ readonly message: string } & Readonly<Record<string, unknown>>);
    }
  | { readonly type: 'interrupted' };

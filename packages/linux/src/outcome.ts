import type { VirtualAddress } from '@heki/physical-memory';
import type { Outcome } from '@heki/vcpu';

/** What a function of the kernel came to. */
export type KernelOutcome<Value = undefined> =
  | { readonly kind: 'done'; readonly value: Value }
  | {
      /** It returned an error. */
      readonly kind: 'error';
      /** Negative, as in the kernel. */
      readonly errno: number;
      readonly why: string;
    }
  | {
      /** An access of the kernel did not complete: the kernel oopses, hangs or stands still there. */
      readonly kind: 'oops';
      readonly access: 'load' | 'store' | 'fetch' | 'instruction';
      /** What was accessed; for an instruction its address. */
      readonly address: VirtualAddress;
      readonly outcome: Exclude<Outcome, { kind: 'done' }>;
    }
  | {
      /**
       * Through a pointer that somebody has changed the kernel called what is not a function of its own, and went on there, at CPL 0: it fetched from
       * `address`. What runs from then on, this kernel does not decide.
       */
      readonly kind: 'hijacked';
      readonly address: VirtualAddress;
    };

/** What ends a function of the kernel from within; never leaves this package. */
export class KernelStop extends Error {
  readonly outcome: Exclude<KernelOutcome, { kind: 'done' }>;

  constructor(outcome: Exclude<KernelOutcome, { kind: 'done' }>) {
    super(describeStop(outcome));
    this.outcome = outcome;
  }
}

function describeStop(outcome: Exclude<KernelOutcome, { kind: 'done' }>): string {
  switch (outcome.kind) {
    case 'error':
      return outcome.why;
    case 'oops':
      return `the ${outcome.access} did not complete`;
    case 'hijacked':
      return 'the kernel was led elsewhere';
  }
}

/** Ends a function with `-errno`. */
export function fail(errno: number, why: string): never {
  throw new KernelStop({ kind: 'error', errno: -errno, why });
}

/** What a function of the kernel comes to when it runs. */
export function attempt<Value>(run: () => Value): KernelOutcome<Value> {
  try {
    return { kind: 'done', value: run() };
  } catch (stop) {
    if (stop instanceof KernelStop) return stop.outcome;
    throw stop;
  }
}

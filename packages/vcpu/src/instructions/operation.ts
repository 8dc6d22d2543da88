import type { Emulator } from '../emulation/emulator.ts';
import type { Processor } from '../processor.ts';
import type { Attempt } from './attempt.ts';

/** One instruction on its way: tried until it completes or something ends it. */
export interface Operation<Value> {
  /** How far RIP moves when it completes. */
  readonly length: bigint;
  /** Tries to carry it out. Nothing that the guest can see changes unless it gives DONE, or {@link progress} grows. */
  attempt(cpu: Processor): Attempt;
  /** Meaningful after DONE, or after {@link emulated}. */
  readonly value: Value;
  /** Bytes of it were not in memory. */
  readonly absent: boolean;
  /** For repeated instructions: what is done already and is not done again. */
  readonly progress: number;
  /** Carries it out for a hypervisor, over memory as that has it. DONE, RAISED, ABSENT, REFUSED or PARTLY. */
  emulate(cpu: Processor, emulator: Emulator): Attempt;
  /** The hypervisor carried it out; `value` is what it read for it. */
  emulated(cpu: Processor, value: bigint): void;
  /** Tells of its completion. Called only when somebody listens. */
  tell(cpu: Processor): void;
}

/** An instruction other than a memory access. */
export class SystemOperation<Value> implements Operation<Value> {
  readonly length: bigint;
  readonly absent = false;
  readonly progress = 0;
  value: Value;
  readonly #attempt: (cpu: Processor, self: SystemOperation<Value>) => Attempt;
  readonly #text: () => string;
  readonly #emulated: ((cpu: Processor, self: SystemOperation<Value>, value: bigint) => void) | undefined;

  constructor(
    text: () => string,
    length: bigint,
    value: Value,
    attempt: (cpu: Processor, self: SystemOperation<Value>) => Attempt,
    emulated?: (cpu: Processor, self: SystemOperation<Value>, value: bigint) => void,
  ) {
    this.length = length;
    this.value = value;
    this.#attempt = attempt;
    this.#text = text;
    this.#emulated = emulated;
  }

  attempt(cpu: Processor): Attempt {
    return this.#attempt(cpu, this);
  }

  emulate(cpu: Processor, emulator: Emulator): Attempt {
    cpu.emulator = emulator;
    try {
      return this.attempt(cpu);
    } finally {
      cpu.emulator = undefined;
    }
  }

  emulated(cpu: Processor, value: bigint): void {
    this.#emulated?.(cpu, this, value);
  }

  tell(cpu: Processor): void {
    cpu.onEvent?.({ type: 'instruction', vcpu: cpu.id, text: this.#text() });
  }
}

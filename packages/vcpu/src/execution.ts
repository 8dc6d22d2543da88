import { CR0, RFLAGS } from '@heki/x86';
import { Emulator } from './emulation/emulator.ts';
import { VcpuError } from './error.ts';
import { combineExceptions } from './exceptions/double-fault.ts';
import {
  type Exception,
  type ExceptionDecision,
  type ExceptionFrame,
  Vector,
} from './exceptions/exception.ts';
import { TurnHistory } from './exceptions/livelock.ts';
import type { VmExit } from './exit.ts';
import type { EmulatedMemory, ExitAction } from './exit-action.ts';
import { Attempt } from './instructions/attempt.ts';
import { type Gate, readGate } from './instructions/descriptor-operations.ts';
import type { Operation } from './instructions/operation.ts';
import type { Outcome, Turn } from './outcome.ts';
import type { PendingException, Processor } from './processor.ts';

/**
 * Handlers that may be active at once. A handler that faults before it has mended anything runs into the end of its
 * stack; the push on the guard page makes that fault a double one.
 */
const DEEPEST_NESTING = 32;

/** Nothing is left of an instruction that was under way. */
const RESTARTED = { kind: 'stopped', why: 'INIT or RESET came before the instruction was done' } as const;

/** What surrounds a processor: its guest's handlers above, its hypervisor below. */
export interface Surroundings {
  exit(exit: VmExit): ExitAction;
  /** Turns the EPT violation into #VE, if it can. */
  virtualize(violation: Extract<VmExit, { reason: 'ept-violation' }>): boolean;
  handle(exception: Exception, frame: ExceptionFrame): ExceptionDecision;
}

/**
 * One instruction from its first attempt to its outcome, turn by turn: attempt, exception or exit, what handler or
 * hypervisor decide, next attempt.
 */
export class Execution<Value> {
  readonly #cpu: Processor;
  readonly #surroundings: Surroundings;
  readonly #operation: Operation<Value>;
  readonly #history = new TurnHistory();
  readonly #starts: number;
  #progress = 0;

  constructor(cpu: Processor, surroundings: Surroundings, operation: Operation<Value>) {
    if (cpu.left) {
      throw new VcpuError(
        `virtual CPU ${cpu.id}: an instruction cannot execute before the hypervisor has answered an exit`,
      );
    }
    this.#cpu = cpu;
    this.#starts = cpu.starts;
    this.#surroundings = surroundings;
    this.#operation = operation;
  }

  /** Runs to the end. */
  run(): Outcome<Value> {
    for (;;) {
      const outcome = this.step(false);
      if (outcome !== undefined) return outcome;
    }
  }

  /** One turn; the outcome when it was the last. `othersProgressed`: the machine changed since the turn before. */
  step(othersProgressed: boolean): Outcome<Value> | undefined {
    const cpu = this.#cpu;
    if (othersProgressed) this.#history.clear();
    for (;;) {
      if (cpu.starts !== this.#starts) return RESTARTED;
      if (cpu.halted !== undefined) return cpu.halted;
      const { pending } = cpu;
      if (pending !== undefined) {
        const gate = readGate(cpu, pending.exception.vector);
        if (typeof gate !== 'number') return this.#deliver(pending, gate);
        const outcome = this.#stumble(gate, pending);
        if (outcome !== CONTINUE) return outcome;
        continue;
      }
      const attempt = this.#operation.attempt(cpu);
      if (this.#operation.progress !== this.#progress) {
        this.#progress = this.#operation.progress;
        this.#history.clear();
      }
      if (attempt === Attempt.DONE) return cpu.halted ?? this.#complete();
      const outcome = this.#stumble(attempt, undefined);
      if (outcome !== CONTINUE) return outcome;
    }
  }

  /** An attempt, or with `during` the delivery of an exception, did not come through. */
  #stumble(
    attempt: Attempt,
    during: PendingException | undefined,
  ): Outcome<Value> | undefined | typeof CONTINUE {
    const cpu = this.#cpu;
    if (attempt === Attempt.ABSENT) {
      cpu.pending = undefined;
      return { kind: 'absent-table', entry: cpu.trap.absent };
    }
    if (attempt === Attempt.RAISED) return this.#raise(cpu.trap.exception, false, during);
    return this.#leave(during);
  }

  #raise(
    exception: Exception,
    injected: boolean,
    during: PendingException | undefined,
  ): Outcome<Value> | typeof CONTINUE {
    const cpu = this.#cpu;
    // CR2 is written when a page fault is raised, even if a double fault comes of it.
    if (exception.cr2 !== undefined) cpu.registers.cr2 = exception.cr2;
    let delivered: Exception | 'triple-fault' =
      during === undefined ? exception : combineExceptions(during.exception, exception);
    if (during === undefined && cpu.nesting >= DEEPEST_NESTING) {
      delivered = cpu.nesting === DEEPEST_NESTING ? { vector: Vector.DF, errorCode: 0 } : 'triple-fault';
    }
    if (delivered === 'triple-fault') return this.#tripleFault();
    cpu.pend(delivered, injected);
    return CONTINUE;
  }

  #leave(during: PendingException | undefined): Outcome<Value> | undefined | typeof CONTINUE {
    const cpu = this.#cpu;
    const { exit, convertible } = cpu.trap;
    // Not during delivery, and only in protected mode (SDM 3C 26.5.7.1).
    if (
      convertible &&
      during === undefined &&
      exit.reason === 'ept-violation' &&
      cpu.controls.virtualizationExceptions &&
      (cpu.registers.cr0 & CR0.PE) !== 0n &&
      this.#surroundings.virtualize(exit)
    ) {
      return this.#raise({ vector: Vector.VE, errorCode: 0 }, false, undefined);
    }
    const action = this.#exit(exit);
    if (cpu.starts !== this.#starts) return RESTARTED;
    if (cpu.halted !== undefined) return cpu.halted;
    return this.#act(action, { kind: 'exit', exit, action }, during);
  }

  #act(
    action: ExitAction,
    turn: Turn,
    during: PendingException | undefined,
  ): Outcome<Value> | undefined | typeof CONTINUE {
    const cpu = this.#cpu;
    switch (action.kind) {
      case 'resume':
        return this.#again(turn);
      case 'skip':
        // There is nothing to skip in a delivery: it is tried again.
        if (during !== undefined) return this.#again(turn);
        this.#operation.emulated(cpu, action.value ?? 0n);
        return this.#complete();
      case 'emulate': {
        // The delivery of an exception is not an instruction (KVM_INTERNAL_ERROR_DELIVERY_EV).
        if (during !== undefined) return this.#act(action.memory.failure, turn, during);
        return this.#emulate(action.memory, turn);
      }
      case 'inject': {
        const outcome = this.#raise(action.exception, true, during);
        return outcome === CONTINUE ? this.#again(turn) : outcome;
      }
      case 'stop':
        cpu.halted = { kind: 'stopped', why: action.why };
        cpu.onEvent?.({ type: 'halted', vcpu: cpu.id, outcome: cpu.halted });
        return cpu.halted;
    }
  }

  /** The hypervisor's emulator carries the instruction out. */
  #emulate(memory: EmulatedMemory, turn: Turn): Outcome<Value> | undefined | typeof CONTINUE {
    const cpu = this.#cpu;
    const emulator = new Emulator(cpu, memory);
    cpu.left = true;
    let attempt: Attempt;
    try {
      attempt = this.#operation.emulate(cpu, emulator);
      if (attempt === Attempt.DONE || attempt === Attempt.PARTLY) emulator.finish();
    } finally {
      cpu.left = false;
    }
    switch (attempt) {
      case Attempt.DONE:
        return cpu.halted ?? this.#complete();
      case Attempt.PARTLY:
        return this.#again(turn);
      case Attempt.RAISED: {
        const outcome = this.#raise(cpu.trap.exception, false, undefined);
        return outcome === CONTINUE ? this.#again(turn) : outcome;
      }
      case Attempt.REFUSED:
        return this.#act(emulator.refusal, turn, undefined);
      default:
        return this.#stumble(attempt, undefined);
    }
  }

  #exit(exit: VmExit): ExitAction {
    const cpu = this.#cpu;
    const { vpid } = cpu.controls;
    cpu.onEvent?.({ type: 'exit', vcpu: cpu.id, rip: cpu.registers.rip, exit });
    if (vpid === 0) cpu.mmu.flushVpid('vm-exit');
    cpu.left = true;
    try {
      const action = this.#surroundings.exit(exit);
      cpu.onEvent?.({ type: 'entry', vcpu: cpu.id, action });
      return action;
    } finally {
      cpu.left = false;
    }
  }

  #deliver(pending: PendingException, gate: Gate | undefined): Outcome<Value> | undefined {
    const cpu = this.#cpu;
    const { registers, onEvent } = cpu;
    const { exception, injected } = pending;
    const { rip, cpl, rflags } = registers;
    onEvent?.({ type: 'exception', vcpu: cpu.id, rip, exception, injected });
    cpu.pending = undefined;
    registers.cpl = 0;
    if (gate === undefined || gate.clearsInterruptFlag) registers.rflags = rflags & ~RFLAGS.IF;
    if (gate !== undefined) registers.rip = gate.handler;
    cpu.nesting++;
    let decision: ExceptionDecision;
    try {
      decision = this.#surroundings.handle(exception, { rip, cpl, rflags, handler: gate?.handler });
    } finally {
      cpu.nesting--;
      // From INIT or RESET no handler returns.
      if (cpu.starts === this.#starts) {
        registers.rip = rip;
        registers.cpl = cpl;
        registers.rflags = rflags;
      }
    }
    onEvent?.({ type: 'handled', vcpu: cpu.id, vector: exception.vector, decision });
    if (cpu.starts !== this.#starts) return RESTARTED;
    if (cpu.halted !== undefined) return cpu.halted;
    if (decision === 'retry') return this.#again({ kind: 'exception', exception, decision });
    const { vector, errorCode, cr2 } = exception;
    const fixedUp = decision === 'fixup';
    return { kind: 'exception', vector, errorCode, cr2, fixedUp };
  }

  /** The instruction is to be tried again: a turn is over. */
  #again(turn: Turn): Outcome<Value> | undefined {
    const cpu = this.#cpu;
    const livelock = this.#history.add(turn);
    if (livelock === undefined) return undefined;
    cpu.pending = undefined;
    cpu.onEvent?.({ type: 'livelock', vcpu: cpu.id, cycle: livelock.cycle });
    return livelock;
  }

  #complete(): Outcome<Value> {
    const cpu = this.#cpu;
    const { value, absent, length } = this.#operation;
    cpu.retire(length);
    if (cpu.onEvent !== undefined) this.#operation.tell(cpu);
    return absent ? { kind: 'done', value, absent } : { kind: 'done', value };
  }

  #tripleFault(): Outcome<Value> {
    const cpu = this.#cpu;
    const outcome = { kind: 'triple-fault' } as const;
    cpu.pending = undefined;
    cpu.halted = outcome;
    const { kind } = this.#exit({ reason: 'triple-fault' });
    if (kind !== 'stop') cpu.halted = undefined;
    else cpu.onEvent?.({ type: 'halted', vcpu: cpu.id, outcome });
    return outcome;
  }
}

/** The turn is not over yet. */
const CONTINUE = Symbol('continue');

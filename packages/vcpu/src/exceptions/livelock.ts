import type { VmExit } from '../exit.ts';
import type { ExitAction } from '../exit-action.ts';
import type { Outcome, Turn } from '../outcome.ts';
import type { Exception } from './exception.ts';

/** How often a cycle of turns must be seen before it counts as endless. */
const REPETITIONS = 4;
/** The longest cycle that is looked for. Linux's retry against a refusing second level takes one or two turns. */
const LONGEST_CYCLE = 8;
/** Turns without progress after which an instruction is given up even when no cycle is found in them. */
const MOST_TURNS = 512;

/**
 * The turns that an instruction has taken since it last made progress. The memory, the hypervisor and the guest's
 * handler are deterministic: a cycle that has repeated itself with the same exits, exceptions and answers has found nothing
 * in the machine that could end it.
 */
export class TurnHistory {
  /** The latest turns, enough to hold every cycle that is looked for. */
  readonly #turns: Turn[] = [];
  #count = 0;

  /** Something changed that may let the instruction go on. */
  clear(): void {
    this.#turns.length = 0;
    this.#count = 0;
  }

  /** Remembers `turn`. A livelock, when it completes the last repetition of a cycle. */
  add(turn: Turn): Extract<Outcome, { kind: 'livelock' }> | undefined {
    const turns = this.#turns;
    turns.push(turn);
    if (turns.length > REPETITIONS * LONGEST_CYCLE) turns.shift();
    this.#count++;
    for (let period = 1; period <= LONGEST_CYCLE && period * REPETITIONS <= turns.length; period++) {
      if (repeats(turns, period)) {
        return { kind: 'livelock', cycle: turns.slice(-period), repetitions: REPETITIONS };
      }
    }
    if (this.#count < MOST_TURNS) return undefined;
    return { kind: 'livelock', cycle: turns.slice(-LONGEST_CYCLE), repetitions: 1 };
  }
}

/** Whether the last `REPETITIONS` times `period` turns repeat one cycle of `period`. */
function repeats(turns: readonly Turn[], period: number): boolean {
  const end = turns.length;
  for (let i = end - period * (REPETITIONS - 1); i < end; i++) {
    const turn = turns[i];
    const before = turns[i - period];
    if (turn === undefined || before === undefined || !sameTurn(turn, before)) return false;
  }
  return true;
}

function sameTurn(a: Turn, b: Turn): boolean {
  if (a.kind === 'exit')
    return b.kind === 'exit' && sameExit(a.exit, b.exit) && sameAction(a.action, b.action);
  return b.kind === 'exception' && a.decision === b.decision && sameException(a.exception, b.exception);
}

function sameAction(a: ExitAction, b: ExitAction): boolean {
  if (a.kind !== 'inject') return a.kind === b.kind;
  return b.kind === 'inject' && sameException(a.exception, b.exception);
}

function sameException(a: Exception, b: Exception): boolean {
  return a.vector === b.vector && a.errorCode === b.errorCode && a.cr2 === b.cr2;
}

/** Whether two exits say the same; all fields are numbers, big integers and strings. */
function sameExit(a: VmExit, b: VmExit): boolean {
  if (a.reason !== b.reason) return false;
  const other = new Map<string, unknown>(Object.entries(b));
  return Object.entries(a).every(([name, value]) => other.get(name) === value);
}

import type { LabRecord } from '../attacker/observer.ts';
import type { LabStep } from '../attacker/recorder.ts';

/** How an attack ended on a machine. */
export type Verdict =
  /** The attacker has what he was after: host bytes or what ran show it. */
  | 'succeeds'
  /** He has it, and the kernel noticed afterwards. */
  | 'detected too late'
  /** Something stood in the way; the kernel goes on. */
  | 'blocked'
  /** The attempt is retried for ever: no effect, and that processor does nothing else. */
  | 'livelock'
  /** The guest as a whole is dead, or cannot do its work. */
  | 'crashes the guest'
  /** The machine has no such thing, or the model cannot say it. */
  | 'not expressible';

/** The outcome of an attack on one machine. */
export interface Judgement {
  readonly verdict: Verdict;
  /**
   * What stood in the way, as the processor and the hypervisor told it: `second-level`, `guest-page-tables`, `processor`, `cr-pin`, `register-pin`,
   * `hypervisor`, `refusal` (a function or a request was answered with an error), or `no effect`. `null` where nothing did.
   */
  readonly by: string | null;
  /** Host bytes, code that ran, an exception with its exit: one sentence. */
  readonly evidence: string;
}

const DETECTED = /^BUG: /;

/** Judges an attack by what is in memory, what ran, and what its steps met. */
export function judge({ steps, evidence, lives, named, sync }: LabRecord): Judgement {
  sync();
  if (named === 0) throw new TypeError('the attack names no aim');
  const reached = evidence();
  if (reached.length > 0) {
    const noticed = steps.some(
      ({ detail }) => detail !== undefined && DETECTED.test(detail.replace(/^-\d+: /, '')),
    );
    return { verdict: noticed ? 'detected too late' : 'succeeds', by: null, evidence: reached.join('; ') };
  }
  // What came first: later steps that fail do so because of it.
  const unfinished = steps.filter(({ result }) => result !== 'done');
  const acted = unfinished.filter(({ looks }) => !looks);
  // What only looks is a means where nothing else was refused: a load whose page walk stores.
  const failed = acted.length > 0 ? acted : unfinished;
  const [decisive] = failed;
  const told = decisive === undefined ? 'every step was done, to no effect' : tellAll(failed);
  const by = decisive?.by ?? 'no effect';
  const unmodelled = failed.find(({ result }) => result === 'unmodelled');
  if (unmodelled !== undefined)
    return { verdict: 'not expressible', by: null, evidence: `${unmodelled.text}: ${unmodelled.detail}` };
  if (failed.some(({ result }) => result === 'livelock')) return { verdict: 'livelock', by, evidence: told };
  if (!lives()) return { verdict: 'crashes the guest', by, evidence: told };
  return { verdict: 'blocked', by, evidence: told };
}

/** Different failures, each once, at most so many. */
const MOST_TOLD = 3;

function tellAll(failed: readonly LabStep[]): string {
  const told = [...new Set(failed.map(({ text, detail }) => `${text}: ${detail}`))];
  return told.length <= MOST_TOLD
    ? told.join('; ')
    : `${told.slice(0, MOST_TOLD).join('; ')}; and ${told.length - MOST_TOLD} more`;
}

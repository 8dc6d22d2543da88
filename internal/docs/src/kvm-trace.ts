import { createKvm, type KvmEvent } from '@heki/kvm';
import { ATTACKS, createMachine, describeTraceEvent, findTargets, type TraceEvent } from '@heki/machine';
import type { Profile } from '@heki/series';
import { textBlock } from './page.ts';
import { openFixture } from './snapshot.ts';

/** The real kernel of 256 MiB that comes with the command. */
const KERNEL = 'k61-256-nokaslr';
const ATTACK = 'store-text-after-pte-edit';

/** An attacker has made text writable in the page tables of a real kernel, and stores to it. */
export function violationTrace(profile: Profile): string {
  const fixture = openFixture(KERNEL);
  const hypervisor = createKvm({ profile });
  const events: TraceEvent<KvmEvent>[] = [];
  const machine = createMachine({ ...fixture, hypervisor, profile, onEvent: (event) => events.push(event) });
  machine.earlyInit();
  machine.lateInit();
  const attack = ATTACKS.find(({ name }) => name === ATTACK);
  if (attack === undefined) throw new Error(`no attack ${ATTACK}`);
  events.length = 0;
  machine.attack(attack, findTargets(fixture.kernel));
  // The edit of the page-table entry, which is flushed at its end, comes before; the clean-up after.
  const edited = events.findIndex(
    ({ event }) => event.type === 'instruction' && event.text.startsWith('invlpg'),
  );
  const story = events.slice(edited + 1).filter(({ event }) => event.type !== 'flush');
  const undone = story.findIndex(({ event }) => event.type === 'access');
  return textBlock(
    withoutRepeats([
      ...story.slice(0, undone).map((event) => describeTraceEvent(hypervisor, event)),
      ...story.slice(-1).map((event) => describeTraceEvent(hypervisor, event)),
    ]),
  );
}

/** `lines`, with a block that comes several times in a row shown once and counted. */
function withoutRepeats(lines: readonly string[]): string[] {
  const result: string[] = [];
  for (let at = 0; at < lines.length; ) {
    const { length, times } = repeatAt(lines, at);
    result.push(...lines.slice(at, at + length));
    if (times > 1) result.push(`         (the last ${length} lines ${times} times in a row)`);
    at += length * times;
  }
  return result;
}

/** The longest stretch of repeats that begins at `at`; a single line that stands there once is one, too. */
function repeatAt(lines: readonly string[], at: number): { length: number; times: number } {
  let best = { length: 1, times: 1 };
  for (let length = 1; at + 2 * length <= lines.length; length++) {
    let same = 0;
    while (lines[at + same] !== undefined && lines[at + same] === lines[at + same + length]) same++;
    const times = Math.floor(same / length) + 1;
    if (times > 1 && length * times > best.length * best.times) best = { length, times };
  }
  return best;
}

import { expect, test } from 'vitest';
import { attackNamed, boot } from '../testing/backends.ts';
import { schedulesBehindReads, shortestTurns } from './race.ts';
import { runAttack, shortestSchedule } from './run-attack.ts';

test.each(['race-poke-window', 'race-list-page'])(
  '%s replays from its schedule, and comes down to a single turn',
  (name) => {
    const attack = attackNamed(name);
    const run = runAttack(attack, boot('hardened'));
    expect(run.verdict).toBe('succeeds');
    const again = runAttack(attack, boot('hardened'), run.schedule);
    expect([again.verdict, again.evidence, again.schedule]).toEqual([
      run.verdict,
      run.evidence,
      run.schedule,
    ]);
    const shortest = shortestSchedule(attack, boot('hardened'), run);
    expect(shortest.turns).toHaveLength(1);
    expect(runAttack(attack, boot('hardened'), shortest)).toMatchObject({
      verdict: 'succeeds',
      evidence: run.evidence,
    });
  },
);

test('in a schedule without a turn there is no race: the kernel does its work and nothing else happens', () => {
  const attack = attackNamed('race-poke-window');
  expect(runAttack(attack, boot('hardened'), { seed: 1, turns: [] }).verdict).toBe('blocked');
});

test('where the kernel’s work leaves no moment for a turn, nothing is called blocked', () => {
  const attack = attackNamed('race-poke-window');
  const idle = { ...attack, race: { work: () => {}, turn: () => {} } };
  expect(runAttack(idle, boot('hardened'))).toMatchObject({ verdict: 'not expressible', by: null });
});

test('where whoever looks finds what came too early, he comes when a request has read its last', () => {
  const run = runAttack(attackNamed('race-module-load'), boot('lvbs-2026-02'));
  expect(run.verdict).toBe('succeeds');
  const moments = ['fault', undefined, 'guest-read', 'guest-read', 'zap', 'guest-read', 'resume'] as const;
  expect(schedulesBehindReads(moments)).toEqual([
    { seed: 0, turns: [3, 4, 5, 6] },
    { seed: 0, turns: [5, 6] },
  ]);
});

test('turns are left out as long as what is left succeeds', () => {
  const needed = (turns: readonly number[]): boolean => turns.includes(7) && turns.includes(11);
  expect(shortestTurns([1, 3, 7, 8, 11, 12, 13], needed)).toEqual([7, 11]);
  expect(shortestTurns([5], () => false)).toEqual([5]);
});

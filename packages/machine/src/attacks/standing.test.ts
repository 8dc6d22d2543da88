import { expect, test } from 'vitest';
import type { AttackOutcome, Defence } from './attack-result.ts';
import { type Standing, standingOf } from './standing.ts';

test.each<
  [
    legitimate: boolean,
    without: AttackOutcome,
    withHeki: AttackOutcome,
    by: Defence | null,
    standing: Standing,
  ]
>([
  [false, 'succeeded', 'blocked', 'second-level', 'stopped-by-heki'],
  [false, 'succeeded', 'livelock', 'second-level', 'stopped-by-heki'],
  [false, 'succeeded', 'blocked', 'cr-pin', 'stopped-by-heki'],
  [false, 'succeeded', 'crashed', 'register-pin', 'stopped-by-heki'],
  // What page tables or the processor stop is not a merit of Heki's, nor is a guest that dies by itself.
  [false, 'succeeded', 'blocked', 'guest-page-tables', 'stopped-anyway'],
  [false, 'succeeded', 'blocked', 'processor', 'stopped-anyway'],
  [false, 'succeeded', 'crashed', null, 'stopped-anyway'],
  [false, 'blocked', 'blocked', 'guest-page-tables', 'stopped-anyway'],
  [false, 'blocked', 'blocked', 'cr-pin', 'stopped-anyway'],
  [false, 'crashed', 'crashed', null, 'stopped-anyway'],
  [false, 'succeeded', 'succeeded', null, 'not-stopped'],
  [false, 'blocked', 'succeeded', null, 'not-stopped'],
  [false, 'not-tried', 'not-tried', null, 'not-tried'],
  [false, 'not-tried', 'blocked', 'second-level', 'not-tried'],
  [false, 'succeeded', 'not-tried', null, 'not-tried'],
  [true, 'succeeded', 'succeeded', null, 'works'],
  [true, 'blocked', 'succeeded', null, 'works'],
  [true, 'succeeded', 'blocked', 'second-level', 'broken'],
  [true, 'succeeded', 'crashed', null, 'broken'],
  [true, 'blocked', 'blocked', 'guest-page-tables', 'stopped-anyway'],
  [true, 'not-tried', 'not-tried', null, 'not-tried'],
])('legitimate %s, %s without Heki, %s with it by %s: %s', (legitimate, without, outcome, by, standing) => {
  expect(standingOf({ attack: { legitimate }, without: { outcome: without }, with: { outcome, by } })).toBe(
    standing,
  );
});

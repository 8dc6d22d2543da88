import { PROFILES } from '@heki/series';
import { expect, test } from 'vitest';
import { exitCodeOf, type FindingId } from './finding.ts';

const code = (id: FindingId, profile: (typeof PROFILES)[number], strict: boolean): number =>
  exitCodeOf([{ id, message: 'something' }], { profile, strict });

test('nothing found is success', () => {
  for (const profile of PROFILES) {
    for (const strict of [false, true]) expect(exitCodeOf([], { profile, strict })).toBe(0);
  }
});

test.each<FindingId>(['claimed-attack-succeeded', 'rights-beyond-mappings', 'work-broken'])(
  '%s makes hardened fail, and rfc-v2 only when it is strict, because it is there to show that',
  (id) => {
    expect([code(id, 'hardened', false), code(id, 'hardened', true)]).toEqual([1, 1]);
    expect([code(id, 'rfc-v2', false), code(id, 'rfc-v2', true)]).toEqual([0, 1]);
  },
);

test.each<FindingId>(['refused', 'walk-cut-short', 'unexpected'])('%s is always a failure', (id) => {
  for (const profile of PROFILES) {
    for (const strict of [false, true]) expect(code(id, profile, strict)).toBe(1);
  }
});

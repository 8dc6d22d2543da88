import { expect, test } from 'vitest';
import { lvbs, STORES } from '../testing/lvbs-schedules.ts';

// Every moment of the load can be tried without any reduction, too.
test('every moment at which another processor stores shows what those show that are left', () => {
  const kernel = lvbs(STORES, 'B-L6');
  const few = kernel.explore();
  const all = kernel.explore({ unreduced: true });
  expect([few.end, all.end]).toEqual(['closed', 'closed']);
  const fallen = ({ counterexamples }: typeof few): string[] =>
    counterexamples.map(({ property }) => property);
  expect(fallen(few)).toEqual(['P6']);
  expect(fallen(all)).toEqual(['P6']);
  // As docs/explore.md has them.
  expect([few.schedules, all.schedules]).toEqual([28, 57]);
});

test('a kernel executes nothing that was not signed where the pages are frozen before they are compared, whenever others act', () => {
  const { end, schedules, counterexamples } = lvbs(STORES).explore();
  expect([end, schedules, counterexamples]).toEqual(['closed', 31, []]);
});

import { expect, test } from 'vitest';
import { CATALOGUE } from '../catalogue/catalogue.ts';
import { PUBLISHED_ATTACKS } from './published-attacks.ts';

const tried = new Set(
  PUBLISHED_ATTACKS.flatMap(({ standing }) => (standing.kind === 'tried' ? standing.by : [])),
);

test('each of the 103 known attacks stands somewhere, under a title of its own, and says why where it is not tried', () => {
  expect(PUBLISHED_ATTACKS).toHaveLength(103);
  expect(new Set(PUBLISHED_ATTACKS.map(({ title }) => title)).size).toBe(103);
  for (const { title, standing } of PUBLISHED_ATTACKS) {
    expect(title).toMatch(/[^.]$/);
    if (standing.kind === 'tried') expect(standing.by.length).toBeGreaterThan(0);
    else expect(standing.kind === 'elsewhere' ? standing.where : standing.why).toMatch(/\S{3}/);
  }
});

test('what is said to be tried is in the catalogue, and what is in the catalogue is one of the known attacks', () => {
  const names = CATALOGUE.filter(({ legitimate }) => legitimate !== true).map(({ name }) => name);
  expect([...tried].toSorted()).toEqual(names.toSorted());
});

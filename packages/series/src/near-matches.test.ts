import { expect, test } from 'vitest';
import { nearMatches } from './index.ts';

const IDS = ['B-H1', 'B-H10', 'B-G1', 'B-L1', 'B-NESTED'];

test.each([
  ['b-h1', ['B-H1', 'B-H10', 'B-G1', 'B-L1']],
  ['BH10', ['B-H10', 'B-H1']],
  ['B-NSETED', ['B-NESTED']],
  ['B-H99', ['B-H1', 'B-H10']],
  ['', []],
  ['nothing of the kind', []],
])('of the ids, %s is written like %j', (name, near) => {
  expect(nearMatches(name, IDS)).toEqual(near);
});

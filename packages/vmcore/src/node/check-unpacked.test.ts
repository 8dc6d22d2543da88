import { expect, it } from 'vitest';
import { checkUnpacked } from './check-unpacked.ts';

const check = (unpacked: number, packed: number, limit: number) => () =>
  checkUnpacked('a.gz', unpacked, packed, limit);

it('a packed file may hold as much as was allowed', () => {
  expect(check(1000, 1, 1000)).not.toThrow();
  expect(check(1001, 1, 1000)).toThrow('a.gz unpacks to more than 1000 bytes');
});

it('beyond 1 GiB, it may be 1000 times as large as it is packed', () => {
  const gib = 2 ** 30;
  expect(check(gib, 1, 2 ** 36)).not.toThrow();
  expect(check(gib + 1, 1, 2 ** 36)).toThrow('a.gz unpacks to 1000 times its size: a bomb, no dump');
  expect(check(2_000_000_000, 2_000_000, 2 ** 36)).not.toThrow();
  expect(check(2_000_000_001, 2_000_000, 2 ** 36)).toThrow('a bomb, no dump');
});

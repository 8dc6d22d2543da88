import { expect, test } from 'vitest';
import { createHostLog } from './host-log.ts';

test('a limited message writes ten lines an interval, and tells how many it kept back', () => {
  const lines: string[] = [];
  const log = createHostLog((line) => lines.push(line));
  for (let index = 0; index < 25; index++) log.limited('a', () => `a${index}`);
  log.limited('b', () => 'b');
  expect(lines).toEqual([...Array.from({ length: 10 }, (_, index) => `a${index}`), 'b']);
  for (let exit = 0; exit < 1000; exit++) log.tick();
  log.limited('a', () => 'later');
  expect(lines.slice(11)).toEqual(['heki: 15 messages suppressed', 'later']);
});

test('without a reader no text is built', () => {
  const log = createHostLog(undefined);
  log.limited('a', () => {
    throw new Error('built');
  });
  expect(log.read).toBe(false);
});

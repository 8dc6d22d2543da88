import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { shellWord } from './shell-word.ts';

test.each(['', 'guest.elf.gz', '/tmp/a b', "it's", 'a;$(id).elf.gz', '`id`', '"*"', '-x\ty', 'ä'])(
  'a shell reads %j as one word, and as it is',
  (text) => {
    expect(execFileSync('sh', ['-c', `printf %s. ${shellWord(text)}`], { encoding: 'utf8' })).toBe(
      `${text}.`,
    );
  },
);

test('what needs no quotes has none', () => {
  expect(shellWord('fixtures/k61-256.elf.gz')).toBe('fixtures/k61-256.elf.gz');
});

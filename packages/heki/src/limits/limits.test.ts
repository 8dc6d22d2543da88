import { expect, test } from 'vitest';
import { createProgram } from '../run.ts';
import { runCommand } from '../testing/run-command.ts';
import { LIMITS } from './limits.ts';

const nowhere = { write: () => Promise.resolve(), isTerminal: false, columns: undefined };
const { commands } = createProgram({ stdout: nowhere, stderr: nowhere, env: {} }, () => {});
const limits = Object.values(LIMITS).flat();

test.each(commands.map((command) => command.name()))(
  'the help of %s has the figures of the limits that concern it, and no others',
  async (name) => {
    const { stdout } = await runCommand([name, '--help']);
    const [, shown = ''] = stdout.split('\nAt most (docs/limits-of-input.md):\n');
    const own = limits.filter((limit) => limit.commands.includes(name));
    expect(shown.split('\n').flatMap((line) => (line === '' ? [] : [line.trim().split(/ {2,}/)]))).toEqual(
      own.map(({ most, what }) => [most, what]),
    );
  },
);

test('every command that reads a dump tells the limits of dumps', () => {
  const reading = commands.filter(({ registeredArguments }) =>
    registeredArguments.some((argument) => /SNAPSHOT|BEFORE/.test(argument.name())),
  );
  expect(reading.length).toBeGreaterThanOrEqual(6);
  for (const command of reading) {
    for (const limit of LIMITS.dumps) expect(limit.commands).toContain(command.name());
  }
});

test('limits concern commands that there are', () => {
  const names = new Set(commands.map((command) => command.name()));
  expect(limits.flatMap((limit) => limit.commands).filter((name) => !names.has(name))).toEqual([]);
});

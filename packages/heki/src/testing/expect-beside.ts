import { expect } from 'vitest';
import { ranOnce } from './run-command.ts';

/** `heki backends ARGS` must set just the hypervisors of these `names` beside each other, and each of them must work. */
export async function expectBeside(args: readonly string[], names: readonly string[]): Promise<void> {
  const { exitCode, stdout } = await ranOnce('backends', ...args, '--json');
  expect(exitCode).toBe(0);
  const all: { name: string; capabilities: Record<string, string>; work: Record<string, string> }[] =
    JSON.parse(stdout).backends;
  expect(all.map(({ name }) => name)).toEqual(names);
  for (const { capabilities, work } of all) {
    expect(Object.keys(capabilities)).toContain('policy owner');
    expect(work['module-load']).toBe('works');
  }
}

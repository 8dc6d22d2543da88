import { readmeOutput } from '@heki-internal/vitest/readme';
import { expect, test } from 'vitest';
import { runCommand } from './testing/run-command.ts';

test('heki protect prints what the README shows', async () => {
  const { stdout } = await runCommand(['protect']);
  expect(stdout).toBe(readmeOutput(import.meta.url));
});

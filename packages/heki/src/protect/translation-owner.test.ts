import { describe, expect, test } from 'vitest';
import { fixturePath, runCommand } from '../testing/run-command.ts';

async function remapped(...args: string[]) {
  const { stdout } = await runCommand(['protect', fixturePath('k61-256-nokaslr'), ...args, '--json']);
  const { attacks } = JSON.parse(stdout);
  return attacks.find(({ name }: { name: string }) => name === 'remap-text');
}

describe('an entry of kernel text that is pointed at other text', () => {
  test('leads the processor there where the translation is that of the guest', async () => {
    expect(await remapped()).toMatchObject({ with: { outcome: 'succeeded' }, standing: 'not-stopped' });
  });

  test('is not even looked at where the hypervisor owns the translation', async () => {
    expect(await remapped('--hlat')).toMatchObject({
      without: { outcome: 'succeeded' },
      with: { outcome: 'blocked', reason: expect.stringContaining('does not look at this entry') },
    });
  });
});

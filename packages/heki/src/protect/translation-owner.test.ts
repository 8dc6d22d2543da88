import { describe, expect, test } from 'vitest';
import { fixturePath, ranOnce } from '../testing/run-command.ts';

async function remapped(...args: string[]) {
  const { stdout } = await ranOnce('protect', fixturePath('k61-256-nokaslr'), '--json', ...args);
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

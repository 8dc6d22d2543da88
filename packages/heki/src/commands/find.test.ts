import { describe, expect, test } from 'vitest';
import { fixturePath, projectFile, ranOnce, runCommand } from '../testing/run-command.ts';

interface FoundJson {
  readonly va: string;
  readonly pa: string;
  readonly pages: number;
  readonly effective: string;
  readonly region: string;
  readonly mappings: number;
}
const found = async (...args: readonly string[]): Promise<FoundJson[]> =>
  JSON.parse((await runCommand(['find', ...args, '--json'])).stdout).found;
const pagesOf = (all: readonly { readonly pages: number }[]): number =>
  all.reduce((sum, { pages }) => sum + pages, 0);

const TAMPERED = fixturePath('k61-256-tampered-text-alias');
const KERNEL = fixturePath('k61-256-nokaslr');

describe('heki find', () => {
  test.each(['r--', 'rw-', 'r-x', 'rwx'])('finds the pages that are %s in a walk', async (permissions) => {
    const { leaves } = JSON.parse((await ranOnce('walk', KERNEL, '--json')).stdout);
    const same = leaves.filter((leaf: { effective: string }) => leaf.effective === permissions);
    expect(pagesOf(await found(KERNEL, '--permissions', permissions))).toBe(pagesOf(same));
  });

  test('finds the direct-map entry over kernel text that was made writable, by its frames and by how often they are mapped', async () => {
    const [text, ...none] = await found(TAMPERED, '--region', 'kernel text', '--physical', '1000000');
    expect(none).toEqual([]);
    expect(text).toMatchObject({ va: '0xffffffff81000000', pages: 1, effective: 'r-x', mappings: 2 });
    const writable = await found(
      TAMPERED,
      '--physical',
      '1000000-1e00000',
      '--permissions',
      'rw-',
      '--aliases',
      '2',
    );
    expect(writable).toEqual([
      expect.objectContaining({ pages: 512, effective: 'rw-', region: 'direct map', mappings: 2 }),
    ]);
    expect(
      await found(KERNEL, '--physical', '1000000-1e00000', '--permissions', 'rw-', '--aliases', '2'),
    ).toEqual([]);
  });

  test('finds every mapping of the page that a symbol lies in', async () => {
    const real = projectFile('fixtures/symbols/k61-symbols.elf.gz');
    const all = await found(real, '--symbol', 'vfs_read');
    expect(all.map(({ region, effective }) => [region, effective])).toEqual([
      ['direct map', 'r--'],
      ['kernel text', 'r-x'],
    ]);
    expect(new Set(all.map(({ pa }) => pa)).size).toBe(1);
    const parts = await found(real, '--region', 'module libcrc32c');
    expect(new Set(parts.map(({ region }) => region))).toEqual(
      new Set(['module libcrc32c text', 'module libcrc32c rodata', 'module libcrc32c data']),
    );
  });

  test('counts as many mappings of a frame as there are', async () => {
    const all = await found(KERNEL, '--aliases', '3');
    const { leaves } = JSON.parse((await ranOnce('walk', KERNEL, '--json')).stdout);
    const [first] = all;
    const frame = BigInt(first?.pa ?? 0);
    const mappings = leaves.filter(
      ({ pa, pages }: { pa: string; pages: number }) =>
        BigInt(pa) <= frame && frame < BigInt(pa) + BigInt(pages * 4096),
    );
    expect(first?.mappings).toBe(mappings.length);
    expect(all.every((one) => one.mappings >= 3)).toBe(true);
  });

  test.each([
    [['find', KERNEL], 'nothing to find'],
    [['find', KERNEL, '--permissions', 'wx'], '--permissions: "wx" is not a permission'],
    [['find', KERNEL, '--physical', '2000-1000'], '--physical: "2000-1000" is not a range'],
    [['find', KERNEL, '--symbol', 'nosuch'], 'no symbol of that name is known'],
    [['find', KERNEL, '--symbol', 'ffffffff81000000'], 'is an address: expected SYMBOL'],
    [
      ['find', KERNEL, '--region', 'kernel txt'],
      '--region: "kernel txt" is no region: expected "direct map", ',
    ],
    [['find', KERNEL, '--region', 'mod'], '"mod" is no region'],
  ])('%j is refused', async (args, why) => {
    const refused = await runCommand(args);
    expect(refused).toMatchObject({ exitCode: 2, stdout: '' });
    expect(refused.stderr).toContain(why);
  });

  test('says that there is none, by its exit code too', async () => {
    const none = await runCommand(['find', KERNEL, '--permissions', 'rwx']);
    expect(none.exitCode).toBe(1);
    expect(none.stdout).toMatch(/\nnone\n$/);
  });
});

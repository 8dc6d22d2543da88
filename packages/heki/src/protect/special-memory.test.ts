import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { coreBytes, pagesOf } from '../testing/mutated-core.ts';
import { fixturePath, projectFile, ranOnce } from '../testing/run-command.ts';

const scratch = mkdtempSync(join(tmpdir(), 'heki-special-'));
afterAll(() => rmSync(scratch, { recursive: true }));

const foreign = (name: string): string => projectFile(`fixtures/foreign/${name}`);

async function protect(...args: string[]) {
  const { exitCode, stdout } = await ranOnce('protect', ...args);
  return { exitCode, stdout };
}

async function json(...args: string[]) {
  return JSON.parse((await protect(...args, '--json')).stdout);
}

/** A page of module text was taken out of the direct map, as execmem and secretmem do: r-x at 0xffffffffc000a000. */
describe('RAM that the direct map lacks', () => {
  const snapshot = foreign('text-not-in-direct-map.elf.gz');
  const map = ['--memory-map', foreign('entry-syscall-pti.iomem')];
  const RANGE = { pa: '0x3ecb000', epa: '0x3ecc000', mapped: 'r-x', va: '0xffffffffc000a000' };
  const PLACE = { region: 'modules', module: null, symbol: null, aliasOf: null };

  test.each([
    ['with a memory map', map],
    ['with a memory map inferred from the direct map', []],
  ])('is protected by what is mapped elsewhere, and said, %s', async (_how, options) => {
    const report = await json(snapshot, ...options);
    expect(report.outsideDirectMap).toEqual({ pages: 1, ranges: [{ ...RANGE, place: PLACE, sent: true }] });
    expect(report.pages).toMatchObject({ 'r--': 2256, 'r-x': 4403 });
    expect(report.verdict.exitCode).toBe(0);
  });

  test('is told to people', async () => {
    const { stdout, exitCode } = await protect(snapshot, ...map);
    expect(exitCode).toBe(0);
    expect(stdout).toContain(
      '1 page of RAM is not in the direct map, and protected by what is mapped elsewhere:',
    );
    expect(stdout).toContain('guest-physical 0x3ecb000-0x3ecbfff, r-x at 0xffffffffc000a000 (modules)\n');
  });

  test('is never sent under rfc-v2, and that is said', async () => {
    const report = await json(snapshot, ...map, '--profile', 'rfc-v2');
    expect(report.outsideDirectMap).toEqual({ pages: 1, ranges: [{ ...RANGE, place: PLACE, sent: false }] });
    const { stdout } = await protect(snapshot, ...map, '--profile', 'rfc-v2');
    expect(stdout).toContain('1 page of RAM is not in the direct map, and Heki, which looks there alone,');
  });

  test('is nothing in an ordinary kernel', async () => {
    const { outsideDirectMap } = await json(fixturePath('k61-256-nokaslr'));
    expect(outsideDirectMap).toEqual({ pages: 0, ranges: [] });
    expect((await protect(fixturePath('k61-256-nokaslr'))).stdout).not.toContain('not in the direct map');
  });
});

test('a page of the direct map that was led to another page is RAM, and the other is not counted twice', async () => {
  const core = coreBytes('k61-256-nokaslr');
  // The page table of the first 2 MiB.
  const frame = (low: number, high: number) => (high % 2 ** 20) * 2 ** 20 + Math.floor(low / 4096);
  const table = pagesOf(core).find(([, offset]) =>
    [0x110, 0x111].every((slot) => {
      const at = offset + 8 * slot;
      return frame(core.readUInt32LE(at), core.readUInt32LE(at + 4)) === slot;
    }),
  );
  const [, offset] = table ?? [0, 0];
  core.copy(core, offset + 8 * 0x110, offset + 8 * 0x112, offset + 8 * 0x113);
  const path = join(scratch, 'led-away.elf');
  writeFileSync(path, core);
  const { pages, outsideDirectMap, warnings } = await json(path);
  expect(pages).toEqual({ 'r--': 2244, 'r-x': 4389, 'rw-': 58870, rwx: 0 });
  expect(outsideDirectMap).toMatchObject({ pages: 1, ranges: [{ pa: '0x110000', mapped: null }] });
  expect(warnings.map(({ id }: { id: string }) => id)).toEqual(['stray-direct-map']);
});

/** 32 empty pages of the cpu_entry_area are PROT_NONE entries with the frame 0, inverted. */
test.each([
  ['rfc-v2', 'rwx'],
  ['hardened', 'rw-'],
])(
  'frame 0 of a kernel with page-table isolation is sent as Linux sees such entries, or as the processor does: %s',
  async (profile, rights) => {
    const { hypercalls } = await json(
      foreign('pti-user-mode.elf.gz'),
      '--memory-map',
      foreign('entry-syscall-pti.iomem'),
      '--profile',
      profile,
    );
    const ranges = hypercalls.flatMap((call: { listPages: unknown[][] }) => call.listPages.flat());
    expect(ranges.find(({ pa }: { pa: string }) => pa === '0x0')).toMatchObject({ permissions: rights });
  },
);

describe('a loaded crash kernel', () => {
  const snapshot = foreign('k61-crash-kernel.elf.gz');

  test('is named as such, not as constants, and is not immutable', async () => {
    const { crashKernel, pages, hypercalls } = await json(snapshot);
    // 160 MiB but for the two pages of the control code, which stay writable.
    expect(crashKernel).toEqual({
      ranges: [{ pa: '0x34000000', epa: '0x3e000000' }],
      readOnlyPages: 40_958,
      immutablePages: 0,
    });
    expect(pages['r--']).toBe(43_049);
    const ranges = hypercalls.flatMap((call: { listPages: unknown[][] }) => call.listPages.flat());
    const immutable = ranges.filter((range: { immutable: boolean }) => range.immutable);
    expect(immutable.length).toBeGreaterThan(0);
    expect(
      immutable.every(({ pa }: { pa: string }) => Number(pa) < 0x3400_0000 || Number(pa) >= 0x3e00_0000),
    ).toBe(true);

    const { stdout } = await protect(snapshot);
    expect(stdout).toMatch(/r-- {8}2,091 pages .* constants: neither changed nor run {2}immutable\n/);
    expect(stdout).toMatch(/r-- {7}40,958 pages .* a crash kernel, loaded: read-only until another is\n/);
  });

  test('is found by the direct map where no memory map tells of it, and that is said', async () => {
    const alone = join(scratch, 'no-map.elf.gz');
    copyFileSync(snapshot, alone);
    const { crashKernel, assumed } = await json(alone);
    const named = await json(snapshot);
    expect(crashKernel).toEqual(named.crashKernel);
    expect(assumed).toContainEqual({
      id: 'crash-kernel',
      message: expect.stringMatching(/^a crash kernel is loaded at 0x34000000-0x3dffffff: /),
    });
    expect((await protect(alone)).stdout).toMatch(/r-- {7}40,958 pages .* a crash kernel, loaded: read-only/);
  });

  test('is absent where the region is only reserved', async () => {
    const { crashKernel } = await json(fixturePath('k61-256-nokaslr'));
    expect(crashKernel).toEqual({ ranges: [], readOnlyPages: 0, immutablePages: 0 });
  });
});

describe("tables that are shared as KASAN's shadow of untouched memory is", () => {
  test.each(['hardened', 'rfc-v2'])('leave what is sent as it is without them, %s', async (profile) => {
    const shared = await json(foreign('kasan-shaped.elf.gz'), '--profile', profile);
    const plain = await json(fixturePath('k61-256-nokaslr'), '--profile', profile);
    for (const key of ['pages', 'hypercalls', 'attacks', 'log']) expect(shared[key]).toEqual(plain[key]);
    expect(shared.earlyInit.leaves).toBe(plain.earlyInit.leaves + 5 * 2 ** 27);
    expect(shared.earlyInit.pages).toBe(plain.earlyInit.pages + 1);
  });
});

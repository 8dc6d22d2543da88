import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { coreBytes, pagesOf } from './testing/mutated-core.ts';
import { runCommand } from './testing/run-command.ts';

const scratch = mkdtempSync(join(tmpdir(), 'heki-fuzz-'));
afterAll(() => rmSync(scratch, { recursive: true }));
const path = join(scratch, 'guest.elf');
const small = join(scratch, 'small.elf.gz');

/** Each input meets every command; `npm run test:full` tries more of them, `hostile-inputs.test.ts` others. */
const RUNS = process.env.HEKI_FUZZ === 'long' ? 400 : 2;

/** Runs every command on the file and demands an answer or a clear error, never a stack or a bug. */
async function everyCommand(core: Uint8Array): Promise<void> {
  writeFileSync(path, core);
  for (const args of [
    ['walk', path, '--format', 'info-tlb'],
    ['translate', path, 'ffffffff81000000', '--access', 'write'],
    ['protect', path, '--json'],
    ['protect', path, '--profile', 'rfc-v2'],
    ['extract', path, '-o', small, '--force'],
    ['extract', path, '-o', small, '--force', '--redact'],
  ]) {
    const { exitCode, stdout, stderr } = await runCommand(args);
    expect([0, 1, 3]).toContain(exitCode);
    expect(stderr).not.toContain('internal error');
    expect(stderr).not.toContain('    at ');
    if (exitCode === 3) expect(stderr || stdout).toMatch(/^heki: .|^\{\n {2}"tool": /);
  }
}

/** A small kernel: 95 page-table pages would take longer. */
const base = coreBytes('stage61-rest_init');
const pages = pagesOf(base);
const root = Number(0x2a10000n);

/** A random byte somewhere in the headers and notes, or any 64-bit value in a page-table entry. */
const headerEdit = fc.record({
  at: fc.integer({ min: 0, max: 4095 }),
  byte: fc.integer({ min: 0, max: 255 }),
});
const frame = fc.oneof(
  fc.constantFrom(...pages.map(([address]) => BigInt(address))),
  fc.bigInt({ min: 0n, max: (1n << 40n) - 1n }).map((value) => value << 12n),
);
const entryEdit = fc.record({
  page: fc.nat({ max: pages.length - 1 }),
  slot: fc.nat({ max: 511 }),
  entry: fc
    .tuple(frame, fc.bigInt({ min: 0n, max: 0xfffn }), fc.bigInt({ min: 0n, max: 0xfffn }))
    .map(([address, low, high]) => BigInt.asUintN(64, address | low | (high << 52n))),
});

function edited(
  headers: readonly { at: number; byte: number }[],
  entries: readonly { page: number; slot: number; entry: bigint }[],
): Buffer {
  const core = Buffer.from(base);
  for (const { at, byte } of headers) core[at % core.length] = byte;
  for (const { page, slot, entry } of entries)
    core.writeBigUInt64LE(entry, (pages[page]?.[1] ?? 0) + slot * 8);
  return core;
}

describe('whatever the bytes of a dump are, every command answers or says what is wrong', () => {
  test('when they are random', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 2000 }), fc.boolean(), async (bytes, packed) => {
        await everyCommand(packed ? gzipSync(bytes) : bytes);
      }),
      { numRuns: RUNS },
    );
  });

  test('when headers and notes are damaged', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(headerEdit, { minLength: 1, maxLength: 12 }), async (headers) => {
        await everyCommand(edited(headers, []));
      }),
      { numRuns: RUNS },
    );
  });

  test('when the file ends early', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: base.length - 1 }), async (length) => {
        await everyCommand(base.subarray(0, length));
      }),
      { numRuns: RUNS },
    );
  });

  test('when page-table entries point anywhere, themselves included', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(entryEdit, { minLength: 1, maxLength: 12 }), async (entries) => {
        await everyCommand(edited([], entries));
      }),
      { numRuns: RUNS },
    );
  });
});

describe('page tables that are one great cycle', () => {
  const core = Buffer.from(base);
  const at = pages.find(([address]) => address === root)?.[1] ?? 0;
  for (let slot = 0; slot < 512; slot++) core.writeBigUInt64LE(BigInt(root) | 0x63n, at + slot * 8);

  test('are not the root of a kernel', async () => {
    writeFileSync(path, core);
    const { exitCode, stderr } = await runCommand(['protect', path]);
    expect(exitCode).toBe(3);
    expect(stderr).toContain(
      'CR3 of CPU 0, 0x2a10000, has no direct map in which the table itself would be mapped',
    );
  });

  test('are told by protect, when a kernel is there besides', async () => {
    const partly = Buffer.from(base);
    for (let slot = 402; slot < 502; slot++) partly.writeBigUInt64LE(BigInt(root) | 0x63n, at + slot * 8);
    writeFileSync(path, partly);
    const { exitCode, stdout } = await runCommand(['protect', path]);
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(
      /warning: \d+ page-table pages stand at more than one level: tables lead to themselves\n/,
    );
  });

  test('are extracted, redacted or not, each table once', async () => {
    const partly = Buffer.from(base);
    for (let slot = 402; slot < 502; slot++) partly.writeBigUInt64LE(BigInt(root) | 0x63n, at + slot * 8);
    writeFileSync(path, partly);
    for (const options of [[], ['--redact']]) {
      const { exitCode, stdout } = await runCommand(['extract', path, '-o', small, '--force', ...options]);
      expect(exitCode).toBe(0);
      expect(Number(/ (\d+) page-table pages of /.exec(stdout)?.[1])).toBeLessThanOrEqual(pages.length);
    }
  });

  test('are walked where a range is asked for, and translated', async () => {
    writeFileSync(path, core);
    const walked = await runCommand([
      'walk',
      path,
      '--range',
      'ffff800000000000-ffff800000003000',
      '--cpu-index',
      '0',
    ]);
    expect(walked.exitCode).toBe(0);
    expect(walked.stdout).toContain('\n3 leaves: ');
    const translated = await runCommand([
      'translate',
      path,
      'ffff800000000000',
      '--cpu-index',
      '0',
      '--json',
    ]);
    expect(JSON.parse(translated.stdout)).toMatchObject({ outcome: { kind: 'mapped', gpa: '0x2a10000' } });
  });
});

test('a table that the dump does not hold is told from one that says "not present"', async () => {
  const core = Buffer.from(base);
  const at = pages.find(([address]) => address === root)?.[1] ?? 0;
  core.writeBigUInt64LE(0x7f_f000_0063n, at + 256 * 8);
  writeFileSync(path, core);
  const { exitCode, stdout } = await runCommand(['translate', path, 'ffff800000000000']);
  expect(exitCode).toBe(0);
  expect(stdout).toContain('unknown: the PDPTE at 0x7ff0000000 is not in the snapshot\n');
  const walked = await runCommand(['walk', path]);
  expect(walked).toMatchObject({
    exitCode: 1,
    stderr: 'heki: guest.elf lacks 1 page-table pages: what they map is not listed\n',
  });
});

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, describe, expect, test } from 'vitest';
import { controlRegister, pagesOf, setControlRegister } from './testing/mutated-core.ts';
import { projectFile, runCommand } from './testing/run-command.ts';

const scratch = mkdtempSync(join(tmpdir(), 'heki-encryption-'));
afterAll(() => rmSync(scratch, { recursive: true }));

/** An AMD guest, and the same with bit 51, the C-bit, in CR3 and in every entry that leads to RAM. */
const PLAIN = projectFile('fixtures/foreign/k61-epyc.elf.gz');
const ENCRYPTED = projectFile('fixtures/foreign/k61-epyc-sev.elf.gz');
const TEXT = 'ffffffff87a00000';
const FRAME = 0xf_ffff_ffff_f000n;

/** What the tests read of JSON. */
interface Json {
  readonly [key: string]: unknown;
  readonly warnings: readonly { readonly id: string; readonly message: string }[];
  readonly steps: readonly {
    readonly entry: string;
    readonly frame: string;
    readonly flags: readonly string[];
  }[];
}

async function json(...args: string[]): Promise<Json> {
  const { exitCode, stdout, stderr } = await runCommand([...args, '--json']);
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
  return JSON.parse(stdout);
}

/** The plain guest with its entries of RAM changed, and perhaps CR3; its JSON beside it. */
function changed(name: string, cr3: bigint, change: (entry: bigint, index: number) => bigint): string {
  const core = gunzipSync(readFileSync(PLAIN));
  let index = 0;
  for (const [, offset] of pagesOf(core)) {
    for (let at = offset; at < offset + 4096; at += 8) {
      const entry = core.readBigUInt64LE(at);
      if ((entry & 1n) === 1n && (entry & FRAME) < 0x1000_0000n)
        core.writeBigUInt64LE(change(entry, index++), at);
    }
  }
  setControlRegister(core, 3, controlRegister(core, 3) | cr3);
  const path = join(scratch, `${name}.elf`);
  writeFileSync(path, core);
  writeFileSync(join(scratch, `${name}.json`), readFileSync(projectFile('fixtures/foreign/k61-epyc.json')));
  return path;
}

/** What `protect` says of a kernel, what its processor is, and of what it warns; without where it is from, and whether that is assumed. */
async function protect(path: string, ...args: string[]) {
  const { snapshot, memoryMap, assumed, processor, warnings, ...findings } = await json(
    'protect',
    path,
    ...args,
  );
  return { findings, processor, warnings };
}

describe('a guest whose memory is encrypted', () => {
  const plain = protect(PLAIN, '--cpu', 'amd-zen4');

  test('is protected and attacked as it would be without encryption', async () => {
    const { findings, processor, warnings } = await protect(ENCRYPTED);
    expect(findings).toEqual((await plain).findings);
    expect(processor).toMatchObject({
      name: 'amd-zen4',
      vendorBits: ['memory encryption'],
      encryptionBit: 51,
    });
    expect(warnings).toEqual([
      {
        id: 'memory-encryption',
        message: expect.stringMatching(/^bit 51 of entries is the C-bit of memory encryption, by VMCOREINFO/),
      },
    ]);
  });

  test.each([
    ['in all entries of RAM, and in CR3', 51, 51, () => true],
    ['bit 47, which is an address bit elsewhere, and not in CR3', 47, undefined, () => true],
    ['not in what is shared: one entry of eight', 51, 51, (index: number) => index % 8 !== 0],
  ] as const)('has its C-bit found by its page tables: %s', async (name, bit, rootBit, has) => {
    const mask = 1n << BigInt(bit);
    const path = changed(
      `found-${name.length}`,
      rootBit === undefined ? 0n : 1n << BigInt(rootBit),
      (entry, index) => (has(index) ? entry | mask : entry),
    );
    const { findings, warnings } = await protect(path);
    expect(findings).toEqual((await plain).findings);
    expect(warnings[0]?.message).toContain(
      `bit ${bit} of entries is the C-bit of memory encryption, as most entries`,
    );
  });

  test('walks to the same frames, and shows the bit as a flag', async () => {
    const leaves = async (path: string) =>
      (await runCommand(['walk', path])).stdout.split('\n').filter((line) => /^[0-9a-f]{16}-/.test(line));
    expect(await leaves(ENCRYPTED)).toEqual(await leaves(PLAIN));
    const { outcome, steps } = await json('translate', ENCRYPTED, TEXT, '--access', 'fetch');
    expect(outcome).toMatchObject({ kind: 'mapped', gpa: '0x8200000' });
    expect(steps.at(-1)).toMatchObject({ entry: '0x80000082001e1', frame: '0x8200000' });
    expect(steps.at(-1)?.flags).toContain('C');
  });

  test('can be extracted', async () => {
    const small = join(scratch, 'small.elf.gz');
    await runCommand(['extract', ENCRYPTED, '-o', small]);
    expect((await protect(small)).findings).toEqual((await plain).findings);
  });
});

describe('a bit beside addresses in few entries', () => {
  const few = (): string =>
    changed('few', 0n, (entry, index) => (index === 5000 ? entry | (1n << 51n) : entry));

  test('is taken for an address bit, and told', async () => {
    const { processor, warnings } = await json('translate', few(), TEXT);
    expect(processor).toMatchObject({ name: 'intel-vt-rp', maxPhysicalAddressBits: 52, encryptionBit: null });
    expect(warnings).toContainEqual({
      id: 'address-bit',
      message: expect.stringMatching(/^1 entry has bit 51 beside an address in memory, .* --c-bit 51$/),
    });
  });

  test('is the C-bit where --c-bit says so', async () => {
    const { processor, warnings } = await json('translate', few(), TEXT, '--c-bit', '51');
    expect(processor).toMatchObject({ name: 'amd-zen4', encryptionBit: 51 });
    expect(warnings[0]?.message).toContain('as --c-bit says');
    expect(warnings.map(({ id }) => id)).not.toContain('c-bit-contradicted');
    expect((await runCommand(['walk', few(), '--c-bit', '31'])).exitCode).toBe(2);
  });

  test('that no entry has is not a C-bit, whatever --c-bit says', async () => {
    for (const command of [
      ['protect', PLAIN],
      ['translate', PLAIN, TEXT],
    ]) {
      expect((await json(...command, '--c-bit', '51')).warnings).toContainEqual({
        id: 'c-bit-contradicted',
        message: expect.stringContaining('no entry of the page tables has that bit'),
      });
    }
  });
});

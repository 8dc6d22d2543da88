import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { VmcoreError } from './error.ts';
import { pagingRegistersOf } from './paging-registers.ts';
import { resolveKernelRoot } from './root/resolve-kernel-root.ts';
import { readVmcore } from './vmcore.ts';

const file = (name: string): Uint8Array =>
  gunzipSync(readFileSync(new URL(`../../../fixtures/${name}.elf.gz`, import.meta.url)));
const encrypted = file('foreign/k61-epyc-sev');

/** The dump with another text for `sme_mask`, of the same length. */
function withMask(text: string): Uint8Array {
  const bytes = Buffer.from(encrypted);
  const at = bytes.indexOf('NUMBER(sme_mask)=', 0, 'latin1') + 'NUMBER(sme_mask)='.length;
  const end = bytes.indexOf('\n', at, 'latin1');
  bytes.write(text.padStart(end - at, '0'), at, 'latin1');
  return bytes;
}

test('the C-bit is what the kernel says, or else what its page tables show', () => {
  expect(readVmcore(encrypted).encryption).toEqual({ bit: 51, from: 'vmcoreinfo' });
  expect(readVmcore(withMask('0')).encryption).toEqual({ bit: 51, from: 'page-tables' });
  // No mask of one bit that could be a C-bit.
  for (const mask of [3n << 50n, 1n << 31n, 1n << 11n, 2n ** 51n - 1n]) {
    expect(readVmcore(withMask(String(mask))).encryption).toEqual({ bit: 51, from: 'page-tables' });
  }
  expect(readVmcore(file('foreign/k61-epyc')).encryption).toBeUndefined();
  expect(readVmcore(file('k61-256-nokaslr')).encryption).toBeUndefined();
});

test('the reader of a dump may say which bit it is', () => {
  expect(readVmcore(encrypted, { encryptionBit: 47 }).encryption).toEqual({ bit: 47, from: 'given' });
  for (const encryptionBit of [31, 52, Number.NaN]) {
    expect(() => readVmcore(encrypted, { encryptionBit })).toThrow(VmcoreError);
  }
});

test('roots, the direct map and NXE are found behind the C-bit', () => {
  const plain = resolveKernelRoot(readVmcore(file('foreign/k61-epyc')));
  const core = readVmcore(withMask('0'));
  const { root, directMap, text, because, encryptionBit } = resolveKernelRoot(core);
  expect(encryptionBit).toBe(51);
  expect({ root, directMap, text, because }).toEqual({
    root: plain.root,
    directMap: plain.directMap,
    text: plain.text,
    because: plain.because,
  });
  expect(pagingRegistersOf(core).efer).toBe(0xd01n);
  expect(() => resolveKernelRoot(readVmcore(encrypted, { encryptionBit: 47 }))).toThrow(VmcoreError);
});

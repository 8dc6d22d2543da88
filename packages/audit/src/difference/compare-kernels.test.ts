import { EntryLow } from '@heki/x86';
import { expect, test } from 'vitest';
import { auditKernel, compareKernels, isSame } from '../index.ts';
import { tamperedKernel } from '../testing/tampered-kernel.ts';

const DIRECT = 0xffff_8880_0000_0000n;
const TEXT = 0xffff_ffff_8100_0000n;

test('a kernel does not differ from itself', () => {
  const audit = auditKernel(tamperedKernel('k61-256-nokaslr').subject());
  expect(isSame(compareKernels(audit, audit))).toBe(true);
});

test('of one boot, single frames and pages of the image are told', () => {
  const kernel = tamperedKernel('k61-256-nokaslr');
  const before = auditKernel(kernel.subject());
  kernel.edit(DIRECT + 0x120_0000n, 2, (entry) => {
    entry.low |= EntryLow.RW;
  });
  kernel.edit(TEXT, 2, (entry) => {
    entry.low += 0x140_0000 - 0x100_0000;
  });
  const difference = compareKernels(before, auditKernel(kernel.subject()));
  expect(difference.sameBoot).toBe(true);
  expect(difference.image).toEqual([{ start: 0, end: 0x20_0000, before: 'r-x', after: 'r-x elsewhere' }]);
  expect(difference.frames).toEqual([
    { start: 0x1000, end: 0x1200, before: 'r-x', after: 'r--' },
    { start: 0x1200, end: 0x1400, before: 'r-x', after: 'rwx' },
  ]);
  expect(difference.appeared.map(({ id }) => id)).toEqual([
    'heki/wx-alias',
    'heki/image-remapped',
    'heki/read-only-alone',
  ]);
  expect(difference.regions).toEqual([
    { region: 'direct map', rights: 'rw-', before: 58_871, after: 59_383 },
    { region: 'direct map', rights: 'r--', before: 6631, after: 6119 },
  ]);
});

test('KASLR is not a difference: of two boots of one build, neither the image nor findings differ', () => {
  const [before, after] = ['k61-256-nokaslr', 'k61-256-kaslr'].map((name) =>
    auditKernel(tamperedKernel(name).subject()),
  );
  if (before === undefined || after === undefined) throw new Error('two audits were made');
  const difference = compareKernels(before, after);
  expect(difference).toMatchObject({ sameBoot: false, image: [], frames: [], appeared: [], gone: [] });
});

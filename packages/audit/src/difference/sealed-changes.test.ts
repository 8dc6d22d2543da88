import { EntryHigh, EntryLow } from '@heki/x86';
import { expect, test } from 'vitest';
import { auditKernel, compareKernels, type SealedChange, sealedChanges } from '../index.ts';
import { type TamperedKernel, tamperedKernel } from '../testing/tampered-kernel.ts';

const DIRECT = 0xffff_8880_0000_0000n;
const TEXT = 0xffff_ffff_8100_0000n;

function changesAfter(tamper: (kernel: TamperedKernel) => void): SealedChange[] {
  const kernel = tamperedKernel('k61-256-nokaslr');
  const before = auditKernel(kernel.subject());
  tamper(kernel);
  return sealedChanges(compareKernels(before, auditKernel(kernel.subject())), before.kernel);
}

test('text that the direct map lets one write, and constants that lost their mapping, are changes of what is sealed', () => {
  expect(
    changesAfter((kernel) =>
      kernel.edit(DIRECT + 0x120_0000n, 2, (entry) => {
        entry.low |= EntryLow.RW;
      }),
    ),
  ).toEqual([{ what: 'frames', start: 0x120_0000, end: 0x140_0000, before: 'r-x', after: 'rwx' }]);
  const gone = changesAfter((kernel) =>
    kernel.edit(0xffff_ffff_8200_0000n, 2, (entry) => {
      entry.low &= ~EntryLow.P;
    }),
  );
  expect(gone).toEqual([
    { what: 'address', start: 0x100_0000, end: 0x120_0000, before: 'r--', after: 'not mapped' },
  ]);
});

test('an address of the text that leads elsewhere is one', () => {
  const changes = changesAfter((kernel) =>
    kernel.edit(TEXT, 2, (entry) => {
      entry.low += 0x20_0000;
    }),
  );
  expect(changes[0]).toEqual({
    what: 'address',
    start: 0,
    end: 0x20_0000,
    before: 'r-x',
    after: 'r-x elsewhere',
  });
});

test('modules, data and the rest of memory may change', () => {
  expect(
    changesAfter((kernel) => {
      kernel.edit(0xffff_ffff_c000_0000n, 1, (entry) => {
        entry.low = 0;
        entry.high = 0;
      });
      kernel.edit(DIRECT + 0x810_0000n, 2, (entry) => {
        entry.high &= ~EntryHigh.XD;
      });
    }),
  ).toEqual([]);
});

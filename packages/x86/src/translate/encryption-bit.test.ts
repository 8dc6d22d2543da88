import type { VirtualAddress } from '@heki/physical-memory';
import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { canonicalFrame } from '../canonical.ts';
import { decodeEntry, entryFrame } from '../entries/entry.ts';
import { AMD_ZEN4 } from '../registers/cpu-profiles.ts';
import { writeCr3 } from '../registers/register-write.ts';
import { pagingRegisters } from '../registers/registers.ts';
import { tables as arbitraryTables, memoryOf, tableFrame } from '../testing/arbitrary-tables.ts';
import { at, drawTables, type TablePicture } from '../testing/table-picture.ts';
import { translate } from './translate.ts';

const VA = 0xffff_8123_4567_8000n;
const READ = { kind: 'read', mode: 'supervisor' } as const;
const C = 1n << 51n;
const ENCRYPTING = { ...AMD_ZEN4, encryptionBit: 51 };

function draw(): TablePicture {
  const tables = drawTables([{ va: VA, leaf: 1, page: 0x5000 }]);
  for (const level of [1, 2, 3, 4] as const) tables.setEntry(level, VA, tables.entry(level, VA) | C);
  return tables;
}

describe('the C-bit', () => {
  it('is not part of the address of a table, of a page or of the root, and is shown as a flag', () => {
    const { memory, cr3 } = draw();
    const registers = pagingRegisters({ cr3: cr3 | C });
    const { outcome, steps } = translate(registers, memory, at(VA + 5n), READ, ENCRYPTING);
    expect(outcome).toMatchObject({ kind: 'mapped', gpa: 0x5005 });
    expect(steps.map(({ entry }) => entry.flags.at(-1))).toEqual(['C', 'C', 'C', 'C']);
    expect(steps.at(-1)?.entry.frame).toBe(5);
  });

  it('is reserved, or an address, on a processor that does not encrypt', () => {
    const { memory, cr3 } = draw();
    const registers = pagingRegisters({ cr3 });
    expect(translate(registers, memory, at(VA), READ, AMD_ZEN4).outcome).toMatchObject({ errorCode: 9 });
    const wide = { ...AMD_ZEN4, maxPhysicalAddressBits: 52 };
    expect(translate(registers, memory, at(VA), READ, wide).outcome.kind).toBe('absent-table');
    expect(writeCr3(registers, cr3 | C, AMD_ZEN4).kind).toBe('general-protection');
    expect(writeCr3(registers, cr3 | C, ENCRYPTING)).toMatchObject({ registers: { cr3: cr3 | C } });
  });

  it('may lie within MAXPHYADDR, whose other bits stay address bits', () => {
    expect(entryFrame(0x5007, 0x8000, 0x7fff)).toBe(5);
    expect(decodeEntry(1, 0x5007, 0xc000, 47)).toMatchObject({
      frame: 5 + 2 ** 34,
      flags: ['P', 'RW', 'US', 'C'],
    });
    const tables = drawTables([{ va: VA, leaf: 1, page: 0x5000, bits: { 1: 1n << 47n } }]);
    const profile = { ...AMD_ZEN4, encryptionBit: 47 };
    const registers = pagingRegisters({ cr3: tables.cr3 | (1n << 47n) });
    expect(translate(registers, tables.memory, at(VA), READ, profile).outcome).toMatchObject({ gpa: 0x5000 });
  });
});

test('an entry means the same with the C-bit and without it, whatever the tables hold', () => {
  const bit = fc.constantFrom(36, 47, 51);
  const chosen = fc.array(fc.boolean(), { minLength: 64, maxLength: 64 });
  fc.assert(
    fc.property(arbitraryTables, bit, chosen, tableFrame, (entries, encryptionBit, marks, frame) => {
      const profile = { ...AMD_ZEN4, encryptionBit };
      const mask = 1n << BigInt(encryptionBit);
      const va = ((BigInt(canonicalFrame(frame, 4)) << 12n) | 1n) as VirtualAddress;
      const outcome = (memory: ReturnType<typeof memoryOf>, cr3: bigint) =>
        translate(pagingRegisters({ cr3 }), memory, va, READ, profile).outcome;
      const plain = memoryOf(entries.map((entry) => entry & ~mask));
      const mixed = memoryOf(
        entries.map((entry, i) => (marks[i % 64] === true ? entry | mask : entry & ~mask)),
      );
      expect(outcome(mixed, mask)).toEqual(outcome(plain, 0n));
    }),
    { numRuns: 500 },
  );
});

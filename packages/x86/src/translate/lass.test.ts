import type { VirtualFrame } from '@heki/physical-memory';
import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { CR4, EFER, RFLAGS } from '../registers/control-registers.ts';
import { type PagingRegisters, pagingRegisters } from '../registers/registers.ts';
import { at, drawTables } from '../testing/table-picture.ts';
import { type Access, accessBits } from './access.ts';
import { createPageWalker } from './create-page-walker.ts';
import { violatesLass } from './lass.ts';
import { WalkOutcome } from './page-walker.ts';
import { translate } from './translate.ts';

const LOWER: bigint = 0x1234_5678_9000n;
const UPPER: bigint = 0xffff_8123_4567_8000n;
const PAE = CR4.PAE;

type Row = readonly [Access['kind'], Access['mode'], bigint, cr4: bigint, rflags: bigint, refused: boolean];

/** The rules as the manual lists them. */
const ROWS: readonly Row[] = [
  ['read', 'user', UPPER, 0n, 0n, true],
  ['write', 'user', UPPER, CR4.SMAP, RFLAGS.AC, true],
  ['fetch', 'user', UPPER, 0n, 0n, true],
  ['read', 'user', LOWER, CR4.SMAP, 0n, false],
  ['fetch', 'user', LOWER, 0n, 0n, false],
  // The supervisor's fetches: whatever SMAP, SMEP and AC are.
  ['fetch', 'supervisor', LOWER, 0n, 0n, true],
  ['fetch', 'supervisor', LOWER, CR4.SMAP, RFLAGS.AC, true],
  ['fetch', 'supervisor', UPPER, CR4.SMAP, 0n, false],
  // Its data accesses: as SMAP has it.
  ['read', 'supervisor', LOWER, 0n, 0n, false],
  ['read', 'supervisor', LOWER, CR4.SMAP, 0n, true],
  ['read-modify-write', 'supervisor', LOWER, CR4.SMAP, RFLAGS.AC, false],
  ['write', 'supervisor', UPPER, CR4.SMAP, 0n, false],
  // Those to descriptor tables and the like: AC does not help them.
  ['read', 'implicit-supervisor', LOWER, CR4.SMAP, RFLAGS.AC, true],
  ['read', 'implicit-supervisor', LOWER, 0n, 0n, false],
  ['read', 'implicit-supervisor', UPPER, CR4.SMAP, 0n, false],
];

describe('CR4.LASS', () => {
  it.each(ROWS)(
    '%s, %s, at %x with CR4 %x and RFLAGS %x: refused is %s',
    (kind, mode, va, cr4, rflags, refused) => {
      const registers = pagingRegisters({ cr4: PAE | CR4.LASS | cr4, rflags });
      expect(violatesLass(at(va), { kind, mode }, registers)).toBe(refused);
      expect(violatesLass(at(va), { kind, mode }, { ...registers, cr4: PAE | cr4 })).toBe(false);
    },
  );

  it('does nothing outside long mode', () => {
    const legacy = pagingRegisters({ cr4: PAE | CR4.LASS, efer: EFER.NXE });
    expect(violatesLass(at(UPPER), { kind: 'read', mode: 'user' }, legacy)).toBe(false);
  });

  it('refuses before any table is read, though the page is there for everybody', () => {
    const tables = drawTables([{ va: UPPER, leaf: 1, page: 0x5000 }]);
    const registers = pagingRegisters({ cr3: tables.cr3, cr4: PAE | CR4.LASS });
    const user = { kind: 'read', mode: 'user' } as const;
    expect(translate(registers, tables.memory, at(UPPER), user)).toEqual({
      outcome: { kind: 'general-protection', reason: 'lass' },
      steps: [],
      updates: [],
    });
    const nowhere = translate(registers, tables.memory, at(UPPER + 0x10_0000n), user);
    expect(nowhere.outcome).toEqual({ kind: 'general-protection', reason: 'lass' });
    const without = { ...registers, cr4: PAE };
    expect(translate(without, tables.memory, at(UPPER), user).outcome.kind).toBe('mapped');
  });
});

test('the page walker refuses what violatesLass refuses, before it looks at any table, and says so to a TLB', () => {
  const bits = (mask: bigint) => fc.constantFrom(0n, mask);
  const registers: fc.Arbitrary<PagingRegisters> = fc
    .tuple(bits(CR4.LASS), bits(CR4.SMAP), bits(RFLAGS.AC), bits(CR4.LA57))
    .map(([lass, smap, rflags, la57]) => pagingRegisters({ cr4: PAE | lass | smap | la57, rflags }));
  const access = fc.record({
    kind: fc.constantFrom('read', 'write', 'read-modify-write', 'fetch'),
    mode: fc.constantFrom('user', 'supervisor', 'implicit-supervisor'),
  });
  const memory = { page: () => undefined, writablePage: () => undefined };
  fc.assert(
    fc.property(registers, access, fc.constantFrom(LOWER, UPPER, 0n, 2n ** 64n - 1n), (state, what, va) => {
      const walker = createPageWalker({ memory, registers: state });
      const frame = Number(va >> 12n) as VirtualFrame;
      const refused = violatesLass(at(va), what, state);
      expect(walker.violatesLass(frame, accessBits(what))).toBe(refused);
      const outcome = walker.walk(frame, 0, accessBits(what));
      expect(outcome).toBe(refused ? WalkOutcome.GENERAL_PROTECTION : WalkOutcome.ABSENT_TABLE);
    }),
  );
});

import type { VirtualAddress, VirtualFrame } from '@heki/physical-memory';
import type { SecondLevel } from '@heki/second-level';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonicalFrame } from '../canonical.ts';
import { EntryLow } from '../entries/entry.ts';
import { PageRights } from '../entries/page-rights.ts';
import { CR0, CR4, EFER, RFLAGS } from '../registers/control-registers.ts';
import type { CpuProfile } from '../registers/cpu-profile.ts';
import { INTEL_VT_RP } from '../registers/cpu-profiles.ts';
import type { PagingRegisters } from '../registers/registers.ts';
import { bytesOf, FRAMES, memoryOf, tableFrame, tables } from '../testing/arbitrary-tables.ts';
import { type MappedFrame, MappedSecondLevel } from '../testing/mapped-second-level.ts';
import { AccessBits, type AccessKind, type AccessMode, accessBits } from './access.ts';
import { createPageWalker } from './create-page-walker.ts';
import { type PageWalker, WalkOutcome } from './page-walker.ts';
import { applyUpdates, translate } from './translate.ts';
import type { Translation } from './translation.ts';

const profile: fc.Arbitrary<CpuProfile> = fc
  .record({
    vendor: fc.constantFrom('intel' as const, 'intel' as const, 'amd' as const),
    gigabytePages: fc.constantFrom(true, true, false),
    maxPhysicalAddressBits: fc.constantFrom(36, 46, 52),
    encryptionBit: fc.constantFrom(undefined, undefined, 36, 51),
    cr4: fc.constantFrom(INTEL_VT_RP.cr4, INTEL_VT_RP.cr4 & ~CR4.CET),
  })
  .map((changes) => ({ ...INTEL_VT_RP, ...changes }));

const bits = (choices: readonly bigint[]) =>
  fc.subarray([...choices]).map((chosen) => chosen.reduce((mask, bit) => mask | bit, 0n));

const registers: fc.Arbitrary<PagingRegisters> = fc
  .record({
    paging: fc.oneof(
      { weight: 19, arbitrary: fc.constant(CR0.PG) },
      { weight: 1, arbitrary: fc.constant(0n) },
    ),
    wp: fc.constantFrom(CR0.WP, 0n),
    cr3: fc.bigInt({ min: 0n, max: BigInt(FRAMES - 1) }),
    low: fc.constantFrom(0n, 0x18n, 0xfffn),
    cr4: bits([CR4.LA57, CR4.PGE, CR4.SMEP, CR4.SMAP, CR4.PKE, CR4.PKS]),
    lass: fc.constantFrom(CR4.LASS, 0n, 0n, 0n, 0n),
    nxe: fc.constantFrom(EFER.NXE, EFER.NXE, 0n),
    ac: fc.constantFrom(RFLAGS.AC, 0n),
    pkru: fc.oneof(fc.constant(0), fc.nat(0xffff_ffff)),
    pkrs: fc.oneof(fc.constant(0), fc.nat(0xffff_ffff)),
    hlat: fc.option(fc.record({ frame: fc.nat(FRAMES), prefixBits: fc.constantFrom(0, 1, 17, 20, 52) })),
  })
  .map(({ paging, wp, cr3, low, cr4, lass, nxe, ac, pkru, pkrs, hlat }) => ({
    cr0: CR0.PE | paging | wp,
    cr3: (cr3 << 12n) | low,
    cr4: CR4.PAE | cr4 | lass,
    efer: EFER.LMA | EFER.LME | nxe,
    rflags: ac,
    pkru,
    pkrs,
    ...(hlat && { hlat: { pointer: (hlat.frame * 4096) as never, prefixBits: hlat.prefixBits } }),
  }));

const request = fc.record({
  frame: fc.oneof(
    { weight: 19, arbitrary: tableFrame },
    { weight: 1, arbitrary: fc.bigInt({ min: 0n, max: 2n ** 52n - 1n }).map(Number) },
  ),
  offset: fc.nat(4095),
  kind: fc.constantFrom<AccessKind[]>('read', 'write', 'read-modify-write', 'fetch'),
  mode: fc.constantFrom<AccessMode[]>('user', 'supervisor', 'implicit-supervisor'),
});

const secondLevelFrames = fc
  .array(
    fc.record({
      frame: fc.nat(FRAMES),
      allows: fc.oneof({ weight: 20, arbitrary: fc.constant(7) }, { weight: 1, arbitrary: fc.nat(6) }),
    }),
    {
      minLength: FRAMES + 1,
      maxLength: FRAMES + 1,
    },
  )
  .map((frames) => new Map<number, MappedFrame>(frames.map((mapped, frame) => [frame, mapped])));

/** What the readable walk says, as the fields of the fast one. */
function expectedOf({ outcome, updates, steps }: Translation): Record<string, unknown> {
  switch (outcome.kind) {
    case 'mapped': {
      const { user, writable, executeDisable, global, key } = outcome.rights;
      const leaf = steps.at(-1);
      return {
        outcome: WalkOutcome.MAPPED,
        frame: Math.floor((outcome.hpa ?? (outcome.gpa as number)) / 4096),
        guestFrame: Math.floor(outcome.gpa / 4096),
        level: outcome.level,
        user,
        writable,
        executeDisable,
        global,
        key,
        dirty: [leaf, updates.find(({ level }) => level === leaf?.level)].some(
          (entry) => ((entry?.low ?? 0) & EntryLow.D) !== 0,
        ),
      };
    }
    case 'page-fault':
      return { outcome: WalkOutcome.PAGE_FAULT, errorCode: outcome.errorCode, updates: updates.length };
    case 'general-protection':
      return { outcome: WalkOutcome.GENERAL_PROTECTION, updates: updates.length };
    case 'absent-table':
      return {
        outcome: WalkOutcome.ABSENT_TABLE,
        address: outcome.address,
        level: outcome.level,
        updates: updates.length,
      };
    case 'second-level':
      return {
        outcome: WalkOutcome.SECOND_LEVEL,
        address: outcome.gpa,
        structure: outcome.at !== 'final',
        fault: outcome.fault,
      };
  }
}

function gotOf(walker: PageWalker, outcome: WalkOutcome, secondLevel: SecondLevel | undefined) {
  const { frame, guestFrame, level, rights, key, errorCode, guestOffset } = walker;
  const address = guestFrame * 4096 + guestOffset;
  switch (outcome) {
    case WalkOutcome.MAPPED:
      return {
        outcome,
        frame,
        guestFrame,
        level,
        user: (rights & PageRights.USER) !== 0,
        writable: (rights & PageRights.WRITE) !== 0,
        executeDisable: (rights & PageRights.EXECUTE_DISABLE) !== 0,
        global: (rights & PageRights.GLOBAL) !== 0,
        key,
        dirty: (rights & PageRights.DIRTY) !== 0,
      };
    case WalkOutcome.PAGE_FAULT:
      return { outcome, errorCode, updates: 0 };
    case WalkOutcome.GENERAL_PROTECTION:
      return { outcome, updates: 0 };
    case WalkOutcome.ABSENT_TABLE:
      return { outcome, address, level, updates: 0 };
    case WalkOutcome.SECOND_LEVEL:
      return { outcome, address, structure: walker.refusedPagingStructure, fault: secondLevel?.fault };
  }
}

describe('the fast walk', () => {
  it('does what the readable one says, in one and two dimensions, whatever the tables hold', () => {
    const seen = new Map<number, number>();
    fc.assert(
      fc.property(
        tables,
        profile,
        fc.array(registers, { minLength: 1, maxLength: 3 }),
        fc.array(request, { minLength: 1, maxLength: 6 }),
        fc.option(fc.tuple(secondLevelFrames, fc.boolean())),
        (entries, cpu, states, requests, second) => {
          const memory = memoryOf(entries);
          const byTheBook = memoryOf(entries);
          const secondLevel = second === null ? undefined : new MappedSecondLevel(...second);
          const bookSecondLevel = second === null ? undefined : new MappedSecondLevel(...second);
          const walker = createPageWalker({
            memory,
            registers: states[0] as PagingRegisters,
            processor: cpu,
            ...(secondLevel && { secondLevel }),
          });
          for (const [turn, { frame, offset, kind, mode }] of requests.entries()) {
            const state = states[turn % states.length] as PagingRegisters;
            walker.setRegisters(state);
            const levels = (state.cr4 & CR4.LA57) === 0n ? 4 : 5;
            const virtual = frame < 2 ** 45 ? canonicalFrame(frame, levels) : (frame as VirtualFrame);
            const va = ((BigInt(virtual) << 12n) | BigInt(offset)) as VirtualAddress;
            const expected = translate(state, byTheBook, va, { kind, mode }, cpu, bookSecondLevel);
            applyUpdates(byTheBook, expected.updates);
            const outcome = walker.walk(virtual, offset, accessBits({ kind, mode }));
            seen.set(outcome, (seen.get(outcome) ?? 0) + 1);
            expect(gotOf(walker, outcome, secondLevel)).toEqual(expectedOf(expected));
            expect(secondLevel?.requests).toEqual(bookSecondLevel?.requests);
          }
          expect(bytesOf(memory)).toEqual(bytesOf(byTheBook));
        },
      ),
      { numRuns: 4000 },
    );
    // Had one way of ending never been met, nothing would have been shown about it.
    expect([...seen.keys()].sort()).toEqual(Object.values(WalkOutcome));
  });

  it('checks cached rights as it checks those that it has just walked', () => {
    fc.assert(
      fc.property(tables, profile, registers, request, request, (entries, cpu, state, first, second) => {
        const memory = memoryOf(entries);
        const walker = createPageWalker({ memory, registers: state, processor: cpu });
        const frame = canonicalFrame(first.frame, (state.cr4 & CR4.LA57) === 0n ? 4 : 5);
        if (walker.walk(frame, 0, accessBits(first)) !== WalkOutcome.MAPPED) return;
        if ((state.cr0 & CR0.PG) === 0n || walker.violatesLass(frame, accessBits(second))) return;
        const { rights, key } = walker;
        const code = walker.check(rights, key, accessBits(second));
        const outcome = walker.walk(frame, 0, accessBits(second));
        expect(outcome === WalkOutcome.MAPPED ? 0 : walker.errorCode).toBe(code);
      }),
      { numRuns: 2500 },
    );
  });

  it('lets accessed and dirty flags only grow, and changes nothing else', () => {
    fc.assert(
      fc.property(
        tables,
        registers,
        fc.array(request, { minLength: 1, maxLength: 6 }),
        (entries, state, requests) => {
          const memory = memoryOf(entries);
          const before = bytesOf(memory).flat();
          const walker = createPageWalker({ memory, registers: state });
          for (const { frame, offset, kind, mode } of requests) {
            walker.walk(canonicalFrame(frame, 4), offset, accessBits({ kind, mode }));
          }
          for (const [i, now] of bytesOf(memory).flat().entries()) {
            const was = before[i] ?? 0;
            expect((now & ~0x60) >>> 0).toBe((was & ~0x60) >>> 0);
            expect(was & ~now).toBe(0);
          }
        },
      ),
    );
  });
});

describe('AccessBits', () => {
  it('keep read, write and fetch where the second level has them', () => {
    expect([AccessBits.READ, AccessBits.WRITE, AccessBits.FETCH]).toEqual([1, 2, 4]);
  });
});

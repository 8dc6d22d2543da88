import { isDeepStrictEqual } from 'node:util';
import type { Gfn, PageView, Pfn } from '@heki/physical-memory';
import { REFUSED, SecondLevelAccess, SecondLevelRights } from '@heki/second-level';
import { type CpuProfile, INTEL_VT_RP } from '@heki/x86';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type EptControls, eptFeatures } from './controls.ts';
import { createEpt } from './ept.ts';
import { decodeEptp, encodeEptp } from './eptp.ts';
import { explainEptWalk } from './explain.ts';
import { EptAccess } from './qualification.ts';
import { createTableMemory, pathEntry, pathMemory } from './testing/table-memory.ts';

const FRAMES = 7;
const INDICES = [0, 1, 511] as const;
const A = SecondLevelAccess;

/** Entries that lead to tables, loop, are leaves of any size, or are odd in any one way. */
const entry = fc
  .record({
    rights: fc.oneof(
      { weight: 6, arbitrary: fc.constantFrom(0x407, 0x407, 7, 5, 3, 0x403) },
      { weight: 1, arbitrary: fc.constantFrom(0, 1, 2, 4, 6, 0x400, 0x401, 0x404) },
    ),
    type: fc.oneof(
      { weight: 8, arbitrary: fc.constant(0) },
      { weight: 2, arbitrary: fc.constant(6) },
      { weight: 1, arbitrary: fc.nat(15) },
    ),
    large: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.constant(0x80) }),
    flags: fc.constantFrom(0, 0x100, 0x200, 0x300, 0x800),
    frame: fc.oneof(
      // One frame beyond the memory there is.
      { weight: 5, arbitrary: fc.nat(FRAMES) },
      { weight: 2, arbitrary: fc.constantFrom(0x200, 0x4_0000, 0x4_0200) },
      { weight: 1, arbitrary: fc.nat(0xf_ffff) },
    ),
    high: fc.oneof(
      { weight: 4, arbitrary: fc.constant(0) },
      { weight: 2, arbitrary: fc.constantFrom(1 << 25, 1 << 26, 3 << 25, 1 << 28, 0x8000_0000) },
      { weight: 1, arbitrary: fc.nat(0xffff_ffff) },
    ),
  })
  .map(
    ({ rights, type, large, flags, frame, high }) =>
      (BigInt(high >>> 0) << 32n) | (BigInt(frame) << 12n) | BigInt(rights | (type << 3) | large | flags),
  );

const garbage = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n });
const tables = fc.array(fc.oneof({ weight: 9, arbitrary: entry }, { weight: 1, arbitrary: garbage }), {
  minLength: FRAMES * INDICES.length,
  maxLength: FRAMES * INDICES.length,
});

const profile: fc.Arbitrary<CpuProfile> = fc
  .record({
    executeOnly: fc.boolean(),
    twoMegabytePages: fc.boolean(),
    gigabytePages: fc.boolean(),
    advancedViolationInfo: fc.boolean(),
    readModifyWriteReportsRead: fc.boolean(),
    maxPhysicalAddressBits: fc.constantFrom(32, 36, 46, 52),
  })
  .map(({ maxPhysicalAddressBits, ...features }) => ({
    ...INTEL_VT_RP,
    maxPhysicalAddressBits,
    ept: { ...eptFeatures(INTEL_VT_RP), ...features },
  }));

const controls: fc.Arbitrary<EptControls> = fc.record({
  modeBasedExecute: fc.boolean(),
  virtualizationException: fc.boolean(),
  pagingWrite: fc.boolean(),
  guestPagingVerification: fc.boolean(),
});

const index = fc.constantFrom(...INDICES);
const request = fc.record({
  gfn: fc
    .tuple(fc.constantFrom(0, 0, 0, 1), index, index, index, index)
    .map((indices) => indices.reduce<number>((frame, i) => frame * 512 + i, 0) as Gfn),
  offset: fc.nat(4095),
  access: fc
    .record({
      kind: fc.oneof(
        fc.constantFrom(A.READ, A.WRITE, A.READ | A.WRITE, A.FETCH),
        fc.constantFrom(
          A.READ | A.PAGING_STRUCTURE | A.WALK_START,
          A.READ | A.PAGING_STRUCTURE,
          A.WRITE | A.PAGING_STRUCTURE,
        ),
      ),
      linear: fc.constantFrom(A.LINEAR_VALID, A.LINEAR_VALID, 0),
      page: fc.nat(7).map((bits) => bits * A.USER_PAGE),
      mode: fc.constantFrom(0, 0, A.USER_ACCESS),
      rest: fc.constantFrom(0, 0, 0, A.SHADOW_STACK, EptAccess.ASYNCHRONOUS, EptAccess.NMI_UNBLOCKING),
    })
    .map(({ kind, linear, page, mode, rest }) => kind | linear | page | mode | rest),
});

const eptp = fc.record({
  memoryType: fc.constant(6 as const),
  levels: fc.constantFrom(4 as const, 5 as const),
  accessedDirty: fc.boolean(),
  supervisorShadowStack: fc.boolean(),
  root: fc.constant(0 as Pfn),
});

function memoryOf(entries: readonly bigint[]) {
  const memory = createTableMemory(FRAMES);
  entries.forEach((value, i) => {
    const word = INDICES[i % INDICES.length] ?? 0;
    memory.write(Math.floor(i / INDICES.length) * 4096 + word * 8, value);
  });
  return memory;
}

function samePage(page: PageView | undefined, other: PageView | undefined): boolean {
  for (let word = 0; word < 1024; word++) if (page?.[word] !== other?.[word]) return false;
  return true;
}

/** Asks `expect` only about what differs: it takes as long as a walk. */
function same(got: unknown, wanted: unknown): void {
  if (!isDeepStrictEqual(got, wanted)) expect(got).toEqual(wanted);
}

/** One way to make each kind of access that a cache may be asked for. */
const FROM_CACHE = [
  [SecondLevelRights.READ, A.READ],
  [SecondLevelRights.WRITE, A.READ | A.WRITE],
  [SecondLevelRights.FETCH_SUPERVISOR, A.FETCH],
  [SecondLevelRights.FETCH_SUPERVISOR_FROM_USER_PAGE, A.FETCH | A.USER_PAGE],
  [SecondLevelRights.FETCH_USER, A.FETCH | A.USER_PAGE | A.USER_ACCESS],
  [SecondLevelRights.READ_PAGING_STRUCTURE, A.READ | A.PAGING_STRUCTURE],
  [SecondLevelRights.WRITE_PAGING_STRUCTURE, A.WRITE | A.PAGING_STRUCTURE],
] as const;

describe('the two versions of the EPT walk', () => {
  it('agree on outcome, fault and every byte afterwards, whatever the tables hold', () => {
    fc.assert(
      fc.property(
        tables,
        profile,
        controls,
        eptp,
        fc.array(request, { minLength: 1, maxLength: 5 }),
        (...args) => {
          const [entries, cpu, control, pointer, requests] = args;
          const memory = memoryOf(entries);
          const expected = memoryOf(entries);
          const ept = createEpt({ memory, eptp: encodeEptp(pointer), processor: cpu, controls: control });
          let verified = true;
          for (const { gfn, offset, access } of requests) {
            if ((access & A.WALK_START) !== 0) verified = true;
            const options = {
              memory: expected,
              eptp: pointer,
              processor: cpu,
              controls: control,
              gfn,
              offset,
            };
            const walk = explainEptWalk({ ...options, access, verified });
            // It remembers of the walk so far what guest-paging verification asks.
            same(ept.explain(gfn, offset, access), walk);
            const frame = ept.translate(gfn, offset, access);
            if (!walk.allowed) {
              same(frame, REFUSED);
              same(ept.fault, walk.fault);
              continue;
            }
            for (const update of walk.updates) expected.write(update.address, update.entry);
            same(frame, walk.pfn);
            same(ept.level, walk.level);
            const leaf = walk.steps.at(-1);
            if ((access & A.PAGING_STRUCTURE) !== 0) {
              verified &&= control.pagingWrite === true && ((leaf?.entry ?? 0n) >> 58n) % 2n === 1n;
            }
            const verifies = control.guestPagingVerification === true;
            const verifiedPage = verifies && ((leaf?.entry ?? 0n) >> 57n) % 2n === 1n;
            for (const [right, cached] of FROM_CACHE) {
              const again = explainEptWalk({ ...options, access: cached | A.LINEAR_VALID });
              const seen = verifiedPage || (verifies && (cached & A.PAGING_STRUCTURE) !== 0);
              same((ept.rights & right) !== 0, !seen && again.allowed && again.updates.length === 0);
            }
          }
          for (let frame = 0; frame < FRAMES; frame++) {
            same(samePage(memory.page(frame as Pfn), expected.page(frame as Pfn)), true);
          }
        },
      ),
      { numRuns: 3000 },
    );
  });

  it('agree when any two bits of a valid path are flipped, through every way a walk can end', () => {
    const reasons = new Set<string>();
    const kinds = [
      A.READ,
      A.READ | A.WRITE,
      A.FETCH,
      A.READ | A.SHADOW_STACK,
      A.READ | A.PAGING_STRUCTURE,
      A.WRITE | A.PAGING_STRUCTURE,
    ];
    const minimal: CpuProfile = {
      ...INTEL_VT_RP,
      ept: { ...eptFeatures(INTEL_VT_RP), executeOnly: false, gigabytePages: false, twoMegabytePages: false },
    };
    const all = { modeBasedExecute: true, pagingWrite: true, guestPagingVerification: true };
    for (const cpu of [INTEL_VT_RP, minimal]) {
      for (const control of [{}, all]) {
        for (const leaf of [1, 2, 3] as const) {
          for (let flip = 0; flip < 64 * 4; flip++) {
            const level = leaf + (flip >> 6);
            if (level > 5) continue;
            for (const other of [0n, 1n << 0n, 1n << 1n, 1n << 57n]) {
              const flipped = pathEntry(level, leaf) ^ (1n << BigInt(flip & 63)) ^ other;
              const memory = pathMemory({ levels: 5, leaf, entries: { [level]: flipped } });
              const pointer = { memoryType: 6, levels: 5, root: 5 as Pfn } as const;
              for (const kind of kinds) {
                const accessedDirty = (kind & A.PAGING_STRUCTURE) !== 0 && other === 0n;
                const shadow = { ...pointer, accessedDirty, supervisorShadowStack: true };
                const ept = createEpt({
                  memory,
                  eptp: encodeEptp(shadow),
                  processor: cpu,
                  controls: control,
                });
                // Two guest paging entries, then the page: the second may have been refused.
                const first = ept.translate(0 as Gfn, 8, A.READ | A.PAGING_STRUCTURE | A.WALK_START);
                const verified =
                  first === REFUSED || (control === all && ((flipped >> 58n) & 1n) === 1n && level === leaf);
                const options = {
                  memory,
                  eptp: shadow,
                  processor: cpu,
                  controls: control,
                  gfn: 0 as Gfn,
                  offset: 8,
                };
                const access = kind | A.LINEAR_VALID | (leaf === 2 ? A.USER_PAGE : 0);
                const walk = explainEptWalk({ ...options, access, verified });
                reasons.add(walk.reason.replace(/the P\w+/, 'an entry'));
                const frame = ept.translate(0 as Gfn, 8, access);
                same(frame, walk.allowed ? walk.pfn : REFUSED);
                if (!walk.allowed) same(ept.fault, walk.fault);
              }
            }
          }
        }
      }
    }
    expect([...reasons].sort()).toEqual([
      'R is 0',
      'R is 0 for a supervisor shadow-stack access',
      'W is 0',
      'W is 0 above the leaf for a supervisor shadow-stack access',
      'W is 0 and the processor must set A or D in a guest paging entry',
      'W is 0 and with EPT A/D flags the use of a guest paging entry counts as a write',
      'X is 0',
      'XS is 0 and the linear address is supervisor-mode',
      'XU is 0 and the linear address is user-mode',
      'a guest paging entry came through a leaf without paging-write access',
      'an entry has W without R',
      'an entry has an address beyond 46 bits',
      'an entry has bit 7, but the processor has no pages of this size',
      'an entry has executable and not readable, which the processor does not support',
      'an entry has reserved bit 7',
      'an entry has reserved bits 20:12 of a 2 MiB leaf',
      'an entry has reserved bits 29:12 of a 1 GiB leaf',
      'an entry has reserved bits 6:3 of an entry that refers to a table',
      'an entry has reserved memory type 2',
      'an entry has reserved memory type 7',
      'an entry is not present',
      'every right asked for is granted',
      'the host has no memory where a table should be',
      'the leaf is not a supervisor shadow-stack page',
    ]);
  });

  it('agree on which EPTPs can be used', () => {
    fc.assert(
      fc.property(garbage, (value) => {
        const decoded = decodeEptp(value, INTEL_VT_RP);
        if (decoded.fault === undefined) expect(encodeEptp(decoded.eptp)).toBe(value);
        else expect(() => createEpt({ memory: createTableMemory(1), eptp: value })).toThrow(decoded.fault);
      }),
    );
  });
});

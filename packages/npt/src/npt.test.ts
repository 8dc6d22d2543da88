import { createRam, type Gfn, type Pfn, pfn } from '@heki/physical-memory';
import { REFUSED, SecondLevelAccess } from '@heki/second-level';
import { AMD_ZEN4, INTEL_VT_RP } from '@heki/x86';
import { describe, expect, it } from 'vitest';
import { describeNpfInfo1 } from './exit-info.ts';
import { createNpt } from './npt.ts';
import type { NptControls } from './setup.ts';
import { pathMemory, ROOT, TARGET } from './testing/table-memory.ts';

const A = SecondLevelAccess;
const NX = 1n << 63n;
const GUEST_ENTRY = A.READ | A.PAGING_STRUCTURE | A.LINEAR_VALID;

/** What an access to the page behind `leaf` (the low bits of its entry) meets: its EXITINFO1, or `allowed`. */
function outcome(
  access: number,
  leaf: bigint,
  controls: NptControls = {},
  hostNxe = true,
  hostSmep = false,
): string {
  const npt = createNpt({
    memory: pathMemory(1, { 1: TARGET | leaf }),
    root: ROOT,
    controls,
    hostNxe,
    hostSmep,
  });
  if (npt.translate(0 as Gfn, 0x18, access) !== REFUSED) return 'allowed';
  expect(npt.fault?.gpa).toBe(0x18);
  return npt.fault?.kind === 'nested-page-fault'
    ? describeNpfInfo1(npt.fault.info1)
    : String(npt.fault?.kind);
}

describe('nested paging', () => {
  it('translates to leaves of every size', () => {
    for (const leaf of [1, 2, 3] as const) {
      const npt = createNpt({ memory: pathMemory(leaf), root: ROOT });
      const gfn = leaf === 1 ? 0 : leaf === 2 ? 0x1ff : 0x3_ffff;
      expect(npt.translate(gfn as Gfn, 0, A.READ)).toBe(Number(TARGET >> 12n) + gfn);
      expect(npt.level).toBe(leaf);
    }
  });

  it('is a user access whoever makes it: pages with U/S = 0 are refused', () => {
    expect(outcome(A.READ, 0x23n)).toBe('0x100000005: P U FINAL_ADDRESS');
    expect(outcome(A.READ | A.USER_ACCESS, 0x23n)).toBe('0x100000005: P U FINAL_ADDRESS');
  });

  it('reports what is not present, not writable and not executable', () => {
    expect(outcome(A.READ, 0n)).toBe('0x100000004: U FINAL_ADDRESS');
    expect(outcome(A.WRITE, 0x25n)).toBe('0x100000007: P W U FINAL_ADDRESS');
    expect(outcome(A.READ | A.WRITE, 0x25n)).toBe('0x100000007: P W U FINAL_ADDRESS');
    expect(outcome(A.FETCH, 0x27n | NX)).toBe('0x100000015: P U ID FINAL_ADDRESS');
  });

  it('counts every use of a guest page-table entry as a user write', () => {
    expect(outcome(GUEST_ENTRY, 0n)).toBe('0x200000006: W U PAGE_TABLE');
    expect(outcome(GUEST_ENTRY, 0x25n)).toBe('0x200000007: P W U PAGE_TABLE');
    expect(outcome(GUEST_ENTRY, 0x23n)).toBe('0x200000007: P W U PAGE_TABLE');
  });

  it('lets the walk use read-only guest page tables where the processor can, but not software write them', () => {
    const controls = { readOnlyGuestPageTables: true };
    expect(outcome(GUEST_ENTRY, 0x25n, controls)).toBe('allowed');
    expect(outcome(A.WRITE, 0x25n, controls)).toBe('0x100000007: P W U FINAL_ADDRESS');
    expect(outcome(GUEST_ENTRY, 0x23n, controls)).toBe('0x200000007: P W U PAGE_TABLE');
  });

  it('reports reserved bits by the rules of the host, not of the guest', () => {
    expect(outcome(A.READ, 0x27n | (1n << 48n))).toBe('0x10000000d: P U RSVD FINAL_ADDRESS');
    expect(outcome(A.FETCH, 0x27n | NX, {}, false)).toBe('0x10000000d: P U RSVD FINAL_ADDRESS');
    expect(outcome(A.FETCH, 0n)).toBe('0x100000014: U ID FINAL_ADDRESS');
    expect(outcome(A.FETCH, 0n, {}, false)).toBe('0x100000004: U FINAL_ADDRESS');
    expect(outcome(A.FETCH, 0n, {}, false, true)).toBe('0x100000014: U ID FINAL_ADDRESS');
    expect(outcome(A.READ, 0n, {}, false, true)).toBe('0x100000004: U FINAL_ADDRESS');
    const memory = pathMemory(2, { 2: TARGET | 0xa7n | (1n << 13n) });
    const npt = createNpt({ memory, root: ROOT });
    expect(npt.translate(0 as Gfn, 0, A.READ)).toBe(REFUSED);
    expect(npt.fault).toMatchObject({ info1: 0x1_0000_000dn });
  });

  it('reserves bit 8 of a PML4E and a PML5E, and ignores it in every entry below', () => {
    const nested = (levels: 4 | 5, level: number, entry: bigint): string => {
      const memory = pathMemory(1, { [level]: entry });
      if (levels === 5) memory.write(5 * 4096, level === 5 ? entry : 0x4027n);
      const npt = createNpt({ memory, root: levels === 5 ? pfn(5) : ROOT, levels });
      const frame = npt.translate(0 as Gfn, 0, A.READ);
      expect(npt.explain(0 as Gfn, 0, A.READ).allowed).toBe(frame !== REFUSED);
      return npt.fault?.kind === 'nested-page-fault' && frame === REFUSED
        ? describeNpfInfo1(npt.fault.info1)
        : String(frame);
    };
    const refused = '0x10000000d: P U RSVD FINAL_ADDRESS';
    expect(nested(4, 4, 0x3127n)).toBe(refused);
    expect(nested(5, 5, 0x4127n)).toBe(refused);
    expect(nested(5, 4, 0x3127n)).toBe(refused);
    for (const [level, entry] of [
      [3, 0x2127n],
      [2, 0x1127n],
      [1, TARGET | 0x127n],
    ] as const) {
      expect(nested(4, level, entry)).toBe(String(TARGET >> 12n));
    }
  });

  it('takes the rights of all levels together', () => {
    const npt = createNpt({ memory: pathMemory(1, { 3: 0x2025n, 2: 0x1027n | NX }), root: ROOT });
    expect(npt.translate(0 as Gfn, 0, A.READ)).not.toBe(REFUSED);
    for (const access of [A.WRITE, A.FETCH]) expect(npt.translate(0 as Gfn, 0, access)).toBe(REFUSED);
  });

  it('sets A in every entry and D in the leaf of a write, and nothing when it refuses', () => {
    const memory = pathMemory(1, { 4: 0x3007n, 3: 0x2007n, 2: 0x1007n, 1: TARGET | 0x7n | NX });
    const npt = createNpt({ memory, root: ROOT });
    const flags = () => [4, 3, 2, 1].map((level) => memory.read(level * 4096) & 0x60n);
    npt.translate(0 as Gfn, 0, A.FETCH);
    expect(flags()).toEqual([0n, 0n, 0n, 0n]);
    npt.translate(0 as Gfn, 0, A.READ);
    expect(flags()).toEqual([0x20n, 0x20n, 0x20n, 0x20n]);
    npt.translate(0 as Gfn, 0, GUEST_ENTRY);
    expect(flags()).toEqual([0x20n, 0x20n, 0x20n, 0x60n]);
  });

  it('says so when the host has no memory where a table should be', () => {
    const npt = createNpt({ memory: pathMemory(1, { 3: 0x12_3027n }), root: ROOT });
    expect(npt.translate(0 as Gfn, 8, A.READ)).toBe(REFUSED);
    expect(npt.fault).toEqual({ kind: 'absent-table', gpa: 8, table: 0x123 });
  });

  it('refuses to be built for a processor that lacks it', () => {
    const memory = pathMemory(1);
    expect(() => createNpt({ memory, root: ROOT, processor: INTEL_VT_RP })).toThrow('has no nested paging');
    const profile = { ...AMD_ZEN4, npt: { gmet: false, readOnlyGuestPageTables: true } };
    expect(() => createNpt({ memory, root: ROOT, processor: profile, controls: { gmet: true } })).toThrow(
      'amd-zen4 does not have gmet',
    );
  });
});

describe('nested paging with GMET', () => {
  const gmet = { gmet: true };

  it('refuses supervisor fetches from U/S = 1, whatever guest paging says of the page', () => {
    expect(outcome(A.FETCH, 0x27n, gmet)).toBe('0x100000011: P ID FINAL_ADDRESS');
    expect(outcome(A.FETCH | A.USER_PAGE, 0x27n, gmet)).toBe('0x100000011: P ID FINAL_ADDRESS');
    expect(outcome(A.FETCH | A.USER_ACCESS, 0x27n, gmet)).toBe('allowed');
  });

  it('lets both modes execute from U/S = 0 at any level, unless NX stops them', () => {
    expect(outcome(A.FETCH, 0x23n, gmet)).toBe('allowed');
    expect(outcome(A.FETCH | A.USER_ACCESS, 0x23n, gmet)).toBe('allowed');
    expect(outcome(A.FETCH | A.USER_ACCESS, 0x23n | NX, gmet)).toBe('0x100000015: P U ID FINAL_ADDRESS');
    expect(outcome(A.FETCH, 0x23n | NX, gmet)).toBe('0x100000011: P ID FINAL_ADDRESS');
  });

  it('ignores U/S for data and for guest page tables', () => {
    expect(outcome(A.WRITE, 0x23n, gmet)).toBe('allowed');
    expect(outcome(GUEST_ENTRY, 0x23n, gmet)).toBe('allowed');
    expect(outcome(A.WRITE, 0x21n, gmet)).toBe('0x100000007: P W U FINAL_ADDRESS');
  });
});

it('sets flags in tables above 4 GiB, in every level of them', () => {
  const first = 2 ** 20 + 5;
  const frames = [0, 1, 2, 3].map((i) => (first + i) as Pfn);
  const memory = createRam<Pfn>({
    ranges: [
      { start: pfn(0), end: pfn(0x10) },
      { start: first as Pfn, end: (first + 4) as Pfn },
    ],
  });
  const flagsOf = (frame: Pfn): number => (memory.page(frame)?.[0] ?? 0) & 0x60;
  for (const [i, frame] of frames.entries()) {
    const page = memory.writablePage(frame);
    const next = frames[i + 1] ?? ((2 ** 21) as Pfn);
    if (page === undefined) throw new TypeError('no memory');
    page[0] = ((next % 2 ** 20) * 4096 + 7) >>> 0;
    page[1] = Math.floor(next / 2 ** 20);
  }
  const npt = createNpt({ memory, root: first as Pfn });
  expect(npt.translate(0 as Gfn, 0, A.READ)).toBe(2 ** 21);
  expect(frames.map(flagsOf)).toEqual([0x20, 0x20, 0x20, 0x20]);
  expect(npt.translate(0 as Gfn, 0, A.WRITE)).toBe(2 ** 21);
  expect(frames.map(flagsOf)).toEqual([0x20, 0x20, 0x20, 0x60]);
});

it('tables of other than four or five levels are refused', () => {
  const memory = pathMemory(1);
  expect(() => createNpt({ memory, root: ROOT, levels: 3 as never })).toThrow('3 levels');
});

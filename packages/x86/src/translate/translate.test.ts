import { type Gpa, type Hpa, VIRTUAL_FRAME_END } from '@heki/physical-memory';
import { SecondLevelAccess } from '@heki/second-level';
import { describe, expect, it } from 'vitest';
import type { Level } from '../entries/entry.ts';
import { X86Error } from '../error.ts';
import { CR0, CR4, EFER, RFLAGS } from '../registers/control-registers.ts';
import type { CpuProfile } from '../registers/cpu-profile.ts';
import { AMD_ZEN4, INTEL_SKYLAKE, INTEL_VT_RP } from '../registers/cpu-profiles.ts';
import { type PagingRegisters, pagingRegisters } from '../registers/registers.ts';
import { MappedSecondLevel } from '../testing/mapped-second-level.ts';
import { at, drawTables, type PicturePath, type TablePicture } from '../testing/table-picture.ts';
import type { Access, AccessKind, AccessMode } from './access.ts';
import { applyUpdates, translate } from './translate.ts';

const VA = 0xffff_9234_5678_9000n;
const PAGE = 0x5000;

function access(kind: AccessKind, mode: AccessMode = 'supervisor'): Access {
  return { kind, mode };
}

function picture(path: Partial<PicturePath> = {}, levels: 4 | 5 = 4): TablePicture {
  return drawTables([{ va: VA, leaf: 1, page: PAGE, ...path }], levels);
}

function outcomeOf(
  tables: TablePicture,
  what: Access,
  changes: Partial<PagingRegisters> = {},
  va = VA,
  processor = INTEL_VT_RP,
) {
  const cr4 = CR4.PAE | (tables.levels === 5 ? CR4.LA57 : 0n);
  const registers = pagingRegisters({ cr3: tables.cr3, cr4, ...changes });
  return translate(registers, tables.memory, at(va), what, processor).outcome;
}

function errorCode(...args: Parameters<typeof outcomeOf>): number | undefined {
  const outcome = outcomeOf(...args);
  return outcome.kind === 'page-fault' ? outcome.errorCode : undefined;
}

describe('a walk', () => {
  it('ends at a 4-KiB page through four levels, telling each entry', () => {
    const tables = picture();
    const registers = pagingRegisters({ cr3: tables.cr3 });
    const { outcome, steps, updates } = translate(registers, tables.memory, at(VA + 0x123n), access('read'));
    expect(outcome).toMatchObject({ kind: 'mapped', gpa: PAGE + 0x123, hpa: undefined, level: 1 });
    expect(steps.map(({ level, address }) => [level, address])).toEqual(
      ([4, 3, 2, 1] as const).map((level) => [level, tables.addressOfEntry(level, VA)]),
    );
    expect(updates).toEqual([]);
  });

  it('goes through five levels with CR4.LA57', () => {
    const tables = picture({ va: 0xff12_3456_789a_b000n }, 5);
    expect(outcomeOf(tables, access('read'), {}, 0xff12_3456_789a_bfffn)).toMatchObject({
      kind: 'mapped',
      gpa: PAGE + 0xfff,
    });
  });

  it('takes the offset in a large page from the address, and the PAT bit not from the frame', () => {
    for (const [leaf, page] of [
      [2, 0x1_8060_0000],
      [3, 0x1_c000_0000],
    ] as const) {
      const tables = picture({ leaf, page, bits: { [leaf]: 0x1000n } });
      const offset = Number(VA & (leaf === 2 ? 0x1f_ffffn : 0x3fff_ffffn));
      expect(outcomeOf(tables, access('read'))).toMatchObject({
        kind: 'mapped',
        gpa: page + offset,
        level: leaf,
      });
    }
  });

  it('says that a table page is absent, which is neither a fault nor an empty table', () => {
    const tables = picture();
    tables.setEntry(3, VA, 0x7_7000n | 0x63n);
    expect(outcomeOf(tables, access('read'))).toEqual({
      kind: 'absent-table',
      level: 2,
      address: 0x7_7000 + Number((VA >> 21n) & 511n) * 8,
    });
  });

  it('ignores the bits of CR3 below the root', () => {
    const tables = picture();
    expect(outcomeOf(tables, access('read'), { cr3: tables.cr3 | 0xfffn })).toMatchObject({ kind: 'mapped' });
  });

  it('takes linear addresses for physical ones, 32 bits wide, while paging is off', () => {
    const tables = picture();
    expect(outcomeOf(tables, access('write'), { cr0: CR0.PE }, 0x7_1234_5678n)).toMatchObject({
      kind: 'mapped',
      gpa: 0x1234_5678,
      rights: { user: true, writable: true, executeDisable: false },
    });
  });

  it('is refused to the caller outside long mode', () => {
    expect(() => outcomeOf(picture(), access('read'), { efer: 0n })).toThrow(X86Error);
  });
});

describe('the canonical check', () => {
  it.each([
    [4, 0x0000_7fff_ffff_ffffn, true],
    [4, 0x0000_8000_0000_0000n, false],
    [4, 0xffff_7fff_ffff_ffffn, false],
    [4, 0xffff_8000_0000_0000n, true],
    [5, 0x00ff_ffff_ffff_ffffn, true],
    [5, 0x0100_0000_0000_0000n, false],
    [5, 0xfeff_ffff_ffff_ffffn, false],
    [5, 0xff00_0000_0000_0000n, true],
  ] as const)('with %i levels and address %s', (levels, va, canonical) => {
    const { kind } = outcomeOf(picture({}, levels), access('fetch', 'user'), {}, va);
    expect(kind).toBe(canonical ? 'page-fault' : 'general-protection');
  });

  it('covers the last address there is', () => {
    const last = (BigInt(VIRTUAL_FRAME_END) << 12n) - 1n;
    const tables = picture({ va: last & ~0xfffn });
    expect(outcomeOf(tables, access('read'), {}, last)).toMatchObject({ kind: 'mapped', gpa: PAGE + 0xfff });
  });
});

describe('an entry that cannot be used', () => {
  it.each([4, 3, 2, 1] as Level[])('faults with P=0 at level %i when it is not present', (level) => {
    const tables = picture({ entries: { [level]: 'RW US' } });
    expect(outcomeOf(tables, access('write', 'user'))).toEqual({
      kind: 'page-fault',
      errorCode: 0b110,
      address: VA,
      causes: [{ rule: 'not-present', level, text: expect.stringContaining('P=0') }],
    });
  });

  it.each([4, 3, 2, 1] as Level[])(
    'faults with P and RSVD at level %i for a bit from MAXPHYADDR on',
    (level) => {
      const profile = { ...INTEL_VT_RP, maxPhysicalAddressBits: 40 };
      for (const bit of [40n, 51n]) {
        const tables = picture({ bits: { [level]: 1n << bit } });
        expect(errorCode(tables, access('read'), {}, VA, profile)).toBe(0b1001);
      }
      const unreserved = picture({ bits: { 1: 1n << 39n, 4: 1n << 52n } });
      expect(outcomeOf(unreserved, access('read'), {}, VA, profile)).toMatchObject({ kind: 'mapped' });
    },
  );

  it('faults for XD while EFER.NXE = 0, and for PS where there are no such pages', () => {
    const noNx = { efer: EFER.LMA | EFER.LME };
    expect(errorCode(picture({ entries: { 3: 'P RW XD' } }), access('read'), noNx)).toBe(0b1001);
    expect(errorCode(picture({ entries: { 4: 'P RW PS' } }), access('read'))).toBe(0b1001);
    const gigabyte = picture({ leaf: 3, page: 0x4000_0000 });
    const without = { ...INTEL_VT_RP, gigabytePages: false };
    expect(errorCode(gigabyte, access('read'), {}, VA, without)).toBe(0b1001);
  });

  it('faults for a large page that is not aligned', () => {
    expect(errorCode(picture({ leaf: 2, page: 0x20_2000 }), access('read'))).toBe(0b1001);
    expect(errorCode(picture({ leaf: 3, page: 0x4020_0000 }), access('read'))).toBe(0b1001);
  });

  it('faults on AMD alone for bit 8 in a PML4E or PML5E, which every processor ignores in a PDPTE and PDE', () => {
    for (const [levels, level] of [
      [4, 4],
      [5, 4],
      [5, 5],
    ] as const) {
      const tables = picture({ entries: { [level]: 'P RW US A G' } }, levels);
      expect(errorCode(tables, access('read'), {}, VA, AMD_ZEN4)).toBe(0b1001);
      expect(outcomeOf(tables, access('read'))).toMatchObject({ kind: 'mapped' });
    }
    const below = picture({ entries: { 3: 'P RW A G', 2: 'P RW A G', 1: 'P RW A D G' } });
    const leaf = picture({ leaf: 3, page: 0x4000_0000, entries: { 3: 'P RW A D G' } });
    for (const processor of [AMD_ZEN4, INTEL_VT_RP]) {
      expect(outcomeOf(below, access('read'), {}, VA, processor)).toMatchObject({ kind: 'mapped' });
      expect(outcomeOf(leaf, access('read'), {}, VA, processor)).toMatchObject({ kind: 'mapped' });
    }
  });

  it('is told by its number', () => {
    const causes = (entry: bigint) =>
      outcomeOf(picture({ bits: { 3: entry } }), access('read'), {}, VA, INTEL_VT_RP);
    const cause = (text: string) => ({ causes: [{ rule: 'reserved-bit', level: 3, text }] });
    expect(causes(1n << 51n)).toMatchObject(cause('reserved bit 51 set in PDPTE'));
    expect(causes((1n << 51n) | (1n << 46n))).toMatchObject(cause('reserved bits 46 51 set in PDPTE'));
  });

  it('hides what is wrong below it', () => {
    const reservedAbove = picture({ bits: { 3: 1n << 51n }, entries: { 1: '-' } });
    expect(errorCode(reservedAbove, access('read'))).toBe(0b1001);
    const absentAbove = picture({ bits: { 1: 1n << 51n }, entries: { 3: 'RW' } });
    expect(errorCode(absentAbove, access('read'))).toBe(0);
  });
});

describe('permission', () => {
  const user = 'P RW US A';
  const userPage = { entries: { 1: 'P RW US A D' } };
  const supervisorPage = { entries: { 1: 'P RW A D' } };

  it('of a user asks for U/S in every entry', () => {
    for (const level of [4, 3, 2, 1] as Level[]) {
      const tables = picture({ entries: { [level]: 'P RW A D' } });
      const outcome = outcomeOf(tables, access('read', 'user'));
      expect(outcome).toMatchObject({ errorCode: 0b101, causes: [{ rule: 'user-supervisor', level }] });
    }
  });

  it('to write asks for R/W in every entry, of a supervisor only with CR0.WP', () => {
    for (const level of [4, 3, 2, 1] as Level[]) {
      const tables = picture({ entries: { [level]: level === 1 ? 'P US A D' : 'P US A' } });
      expect(outcomeOf(tables, access('write'))).toMatchObject({
        errorCode: 0b11,
        causes: [{ rule: 'read-write', level }],
      });
      expect(errorCode(tables, access('read-modify-write', 'user'), { cr0: CR0.PG | CR0.PE })).toBe(0b111);
      expect(outcomeOf(tables, access('write'), { cr0: CR0.PG | CR0.PE })).toMatchObject({ kind: 'mapped' });
    }
  });

  it('to fetch is taken by XD in any entry', () => {
    const tables = picture({ entries: { 2: `${user} XD` } });
    expect(outcomeOf(tables, access('fetch'))).toMatchObject({
      errorCode: 0b1_0001,
      causes: [{ rule: 'execute-disable', level: 2, text: 'XD=1 in PDE' }],
    });
    expect(outcomeOf(tables, access('read'))).toMatchObject({
      kind: 'mapped',
      rights: { executeDisable: true },
    });
  });

  it('to fetch from a user page is taken from a supervisor by SMEP', () => {
    const smep = { cr4: CR4.PAE | CR4.SMEP };
    expect(outcomeOf(picture(userPage), access('fetch'), smep)).toMatchObject({
      errorCode: 0b1_0001,
      causes: [{ rule: 'smep' }],
    });
    expect(outcomeOf(picture(userPage), access('read'), smep)).toMatchObject({ kind: 'mapped' });
    expect(outcomeOf(picture(userPage), access('fetch', 'user'), smep)).toMatchObject({ kind: 'mapped' });
    expect(outcomeOf(picture(supervisorPage), access('fetch'), smep)).toMatchObject({ kind: 'mapped' });
  });

  it('to touch the data of a user page is taken from a supervisor by SMAP, unless AC is set and the access explicit', () => {
    const smap = { cr4: CR4.PAE | CR4.SMAP };
    const ac = { ...smap, rflags: RFLAGS.AC };
    const tables = picture(userPage);
    expect(outcomeOf(tables, access('read'), smap)).toMatchObject({
      errorCode: 1,
      causes: [{ rule: 'smap' }],
    });
    expect(outcomeOf(tables, access('read'), ac)).toMatchObject({ kind: 'mapped' });
    expect(errorCode(tables, access('read', 'implicit-supervisor'), ac)).toBe(1);
    expect(outcomeOf(tables, access('fetch'), smap)).toMatchObject({ kind: 'mapped' });
  });

  it('obeys PKRU on user pages and IA32_PKRS on supervisor pages, never for fetches', () => {
    const keyed = (flags: string) => picture({ entries: { 1: flags }, bits: { 1: 3n << 59n } });
    const on = { cr4: CR4.PAE | CR4.PKE | CR4.PKS };
    const accessDisable = 1 << 6;
    const writeDisable = 1 << 7;
    const userTables = keyed('P RW US A D');
    const kernelTables = keyed('P RW A D');
    expect(errorCode(userTables, access('read', 'user'), { ...on, pkru: accessDisable })).toBe(0b10_0101);
    expect(errorCode(userTables, access('read'), { ...on, pkru: accessDisable })).toBe(0b10_0001);
    expect(outcomeOf(userTables, access('read'), { ...on, pkrs: accessDisable })).toMatchObject({
      kind: 'mapped',
    });
    expect(errorCode(kernelTables, access('read'), { ...on, pkrs: accessDisable })).toBe(0b10_0001);
    expect(errorCode(kernelTables, access('write'), { ...on, pkrs: writeDisable })).toBe(0b10_0011);
    const noWp = { ...on, cr0: CR0.PG | CR0.PE, pkru: writeDisable, pkrs: writeDisable };
    expect(outcomeOf(kernelTables, access('write'), noWp)).toMatchObject({ kind: 'mapped' });
    expect(outcomeOf(userTables, access('write'), noWp)).toMatchObject({ kind: 'mapped' });
    expect(errorCode(userTables, access('write', 'user'), noWp)).toBe(0b10_0111);
    expect(outcomeOf(userTables, access('fetch', 'user'), { ...on, pkru: accessDisable })).toMatchObject({
      kind: 'mapped',
    });
    // Key 2 and not key 3.
    expect(outcomeOf(userTables, access('read'), { ...on, pkru: 0b11_0000 })).toMatchObject({
      kind: 'mapped',
    });
  });

  it('names all that is wrong, and sets PK whatever else is', () => {
    const tables = picture({ entries: { 3: 'P US A', 1: 'P US A' }, bits: { 1: 1n << 59n } });
    const outcome = outcomeOf(tables, access('write', 'user'), { cr4: CR4.PAE | CR4.PKE, pkru: 0b1000 });
    expect(outcome).toMatchObject({
      errorCode: 0b10_0111,
      causes: [
        { rule: 'protection-key-user', level: 1, text: 'PKRU write-disable, key 1' },
        { rule: 'read-write', level: 3, text: 'R/W=0 in PDPTE' },
      ],
    });
  });

  it('tells of a fetch in the error code only with SMEP or NXE', () => {
    const tables = picture({ entries: { 1: '-' } });
    expect(errorCode(tables, access('fetch'))).toBe(0b1_0000);
    expect(errorCode(tables, access('fetch'), { efer: EFER.LMA })).toBe(0);
    expect(errorCode(tables, access('fetch'), { efer: EFER.LMA, cr4: CR4.PAE | CR4.SMEP })).toBe(0b1_0000);
  });
});

describe('accessed and dirty flags', () => {
  const clear = { entries: { 4: 'P RW US', 3: 'P RW US', 2: 'P RW US', 1: 'P RW US' } };
  const run = (tables: TablePicture, what: Access) => {
    const translation = translate(pagingRegisters({ cr3: tables.cr3 }), tables.memory, at(VA), what);
    applyUpdates(tables.memory, translation.updates);
    return translation.updates.map(({ level }) => level);
  };
  const flags = (tables: TablePicture) =>
    ([4, 3, 2, 1] as const).map((level) => Number(tables.entry(level, VA) & 0x60n));

  it('are set where they are clear: A in every entry used, D in the leaf of a write', () => {
    const tables = picture(clear);
    expect(run(tables, access('read'))).toEqual([4, 3, 2, 1]);
    expect(flags(tables)).toEqual([0x20, 0x20, 0x20, 0x20]);
    expect(run(tables, access('read-modify-write'))).toEqual([1]);
    expect(flags(tables)).toEqual([0x20, 0x20, 0x20, 0x60]);
    expect(run(tables, access('write'))).toEqual([]);
  });

  it('are not set by an access that faults', () => {
    const tables = picture({ entries: { ...clear.entries, 1: 'P US' } });
    expect(run(tables, access('write'))).toEqual([]);
    expect(flags(tables)).toEqual([0, 0, 0, 0]);
  });

  it('never put D beside R/W = 0 on a processor that supports CET, though CR0.WP = 0 lets the write through', () => {
    const dirtied = (path: Partial<PicturePath>, processor: CpuProfile): boolean => {
      const tables = picture(path);
      const registers = pagingRegisters({ cr3: tables.cr3, cr0: CR0.PG | CR0.PE });
      const write = access('write');
      const { outcome, updates } = translate(registers, tables.memory, at(VA), write, processor);
      expect(outcome.kind).toBe('mapped');
      applyUpdates(tables.memory, updates);
      const leaf = tables.entry(path.leaf ?? 1, VA);
      expect(leaf & 0x20n).toBe(0x20n);
      return (leaf & 0x40n) !== 0n;
    };
    const withCet = { ...INTEL_SKYLAKE, cr4: INTEL_SKYLAKE.cr4 | CR4.CET };
    for (const leaf of [1, 2, 3] as const) {
      const page = 0x4000_0000;
      const readOnly = { leaf, page, entries: { [leaf]: 'P US' } };
      const readOnlyAbove = { leaf, page, entries: { [leaf + 1]: 'P US A', [leaf]: 'P RW US' } };
      expect([dirtied(readOnly, INTEL_SKYLAKE), dirtied(readOnly, withCet)]).toEqual([true, false]);
      // What counts is the R/W of the entry that D is in, not the right to write.
      expect([dirtied(readOnlyAbove, INTEL_SKYLAKE), dirtied(readOnlyAbove, withCet)]).toEqual([true, true]);
    }
  });

  it('gather in one entry that serves several levels', () => {
    // A root that maps itself: every level reads the same entry.
    const tables = picture(clear);
    const va = 0xffff_ffff_ffff_f000n;
    tables.setEntry(4, va, tables.cr3 | 7n);
    const registers = pagingRegisters({ cr3: tables.cr3 });
    const { outcome, updates } = translate(registers, tables.memory, at(va), access('write'));
    applyUpdates(tables.memory, updates);
    expect(outcome).toMatchObject({ kind: 'mapped', gpa: Number(tables.cr3) });
    expect(tables.entry(4, va)).toBe(tables.cr3 | 0x67n);
  });
});

describe('a second level', () => {
  const A = SecondLevelAccess;
  const READ_ENTRY = A.READ | A.PAGING_STRUCTURE | A.LINEAR_VALID;
  const WRITE_FLAG = A.WRITE | A.PAGING_STRUCTURE | A.LINEAR_VALID;
  /** Tables are frames 1 to 4 of the guest, which the host has in the same places; the page goes elsewhere. */
  const identity = (changes: Record<number, number> = {}) =>
    new Map([1, 2, 3, 4, 5].map((gfn) => [gfn, { frame: gfn === 5 ? 9 : gfn, allows: changes[gfn] ?? 7 }]));
  const run = (tables: TablePicture, what: Access, allows = {}, changes: Partial<PagingRegisters> = {}) => {
    const secondLevel = new MappedSecondLevel(identity(allows));
    const registers = pagingRegisters({ cr3: tables.cr3, ...changes });
    const translation = translate(registers, tables.memory, at(VA), what, INTEL_VT_RP, secondLevel);
    return { ...translation, requests: secondLevel.requests.map(({ gfn, access: asked }) => [gfn, asked]) };
  };
  const clear = { entries: { 4: 'P RW US', 3: 'P RW US A', 2: 'P RW US', 1: 'P US' } };

  it('is asked for each entry, then for the flags to set, root first, then for the page with the page rights', () => {
    const { outcome, requests } = run(picture({ entries: clear.entries }), access('fetch', 'user'));
    expect(outcome).toMatchObject({ kind: 'mapped', gpa: PAGE, hpa: 0x9000 as Hpa });
    expect(requests).toEqual([
      [1, READ_ENTRY | A.WALK_START],
      [2, READ_ENTRY],
      [3, READ_ENTRY],
      [4, READ_ENTRY],
      [1, WRITE_FLAG],
      [3, WRITE_FLAG],
      [4, WRITE_FLAG],
      [5, A.FETCH | A.LINEAR_VALID | A.USER_ACCESS | A.USER_PAGE],
    ]);
  });

  it('says of the page what all entries together make it', () => {
    const last = (entries: PicturePath['entries'], what: Access) =>
      run(picture({ entries: entries ?? {} }), what).requests.at(-1)?.[1];
    expect(last({ 2: 'P RW A' }, access('read-modify-write'))).toBe(
      A.READ | A.WRITE | A.LINEAR_VALID | A.WRITABLE_PAGE,
    );
    expect(last({ 3: 'P US A XD' }, access('read', 'user'))).toBe(
      A.READ | A.LINEAR_VALID | A.USER_ACCESS | A.USER_PAGE | A.EXECUTE_DISABLE_PAGE,
    );
  });

  it('that refuses an entry wins over all that is wrong in it and below', () => {
    const { outcome, updates } = run(picture({ entries: { 3: '-' } }), access('write'), { 2: 0 });
    expect(outcome).toMatchObject({ kind: 'second-level', at: 'paging-structure' });
    expect(updates).toEqual([]);
  });

  it('that refuses the page loses against a page fault', () => {
    const { outcome, requests } = run(picture({ entries: { 1: 'P US A' } }), access('write'), { 5: 0 });
    expect(outcome).toMatchObject({ kind: 'page-fault', errorCode: 3 });
    expect(requests).toHaveLength(4);
  });

  it('that refuses one flag keeps all of them from being set', () => {
    const { outcome, updates, requests } = run(picture(clear), access('read'), { 3: A.READ });
    expect(outcome).toMatchObject({ kind: 'second-level', at: 'accessed-dirty' });
    expect(updates).toEqual([]);
    expect(requests.slice(4)).toEqual([
      [1, WRITE_FLAG],
      [3, WRITE_FLAG],
    ]);
  });

  it('that refuses the page finds the flags set', () => {
    const { outcome, updates } = run(picture(clear), access('read'), { 5: 0 });
    expect(outcome).toMatchObject({ kind: 'second-level', at: 'final', gpa: PAGE });
    expect(updates.map(({ level }) => level)).toEqual([4, 2, 1]);
  });

  it('takes every address for user-mode and writable, and the page for the start of the walk, while paging is off', () => {
    const secondLevel = new MappedSecondLevel(identity());
    const registers = pagingRegisters({ cr0: CR0.PE });
    const tables = picture();
    translate(registers, tables.memory, at(0x5000n), access('fetch'), INTEL_VT_RP, secondLevel);
    expect(secondLevel.requests).toEqual([
      { gfn: 5, offset: 0, access: A.FETCH | A.LINEAR_VALID | A.WALK_START | A.USER_PAGE | A.WRITABLE_PAGE },
    ]);
  });
});

describe('HLAT paging', () => {
  /** The CR3 tables map VA to PAGE; those of the HLAT root, drawn into frames of their own, to another page. */
  const both = (hlatPath: Partial<PicturePath> = {}) => {
    const tables = drawTables([
      { va: VA, leaf: 1, page: PAGE },
      { va: VA ^ (1n << 40n), leaf: 1, page: 0x8000, ...hlatPath },
    ]);
    // A root of its own: the second path's PML4E, moved to VA's index.
    const other = tables.addressOfEntry(4, VA ^ (1n << 40n));
    const root = tables.memory.writablePage(60 as never);
    const from = tables.memory.page(tables.root);
    const to = (Number(tables.addressOfEntry(4, VA)) % 4096) / 4;
    root?.set([from?.[(other % 4096) / 4] ?? 0, from?.[(other % 4096) / 4 + 1] ?? 0], to);
    return tables;
  };
  const hlat = (prefixBits: number) => ({ hlat: { pointer: 0x3_c000 as Gpa, prefixBits } });

  it('translates with its own root where the prefix is all ones', () => {
    expect(outcomeOf(both(), access('read'), hlat(16))).toMatchObject({ gpa: 0x8000 });
    expect(outcomeOf(both(), access('read'), hlat(0))).toMatchObject({ gpa: 0x8000 });
    expect(outcomeOf(both(), access('read'), hlat(18))).toMatchObject({ gpa: PAGE });
    expect(outcomeOf(both(), access('read'))).toMatchObject({ gpa: PAGE });
  });

  it('does not exist on processors without it', () => {
    expect(outcomeOf(both(), access('read'), hlat(0), VA, INTEL_SKYLAKE)).toMatchObject({ gpa: PAGE });
  });

  it('starts again from CR3 at an entry with the restart bit', () => {
    const tables = both({ entries: { 2: 'P R' } });
    const registers = pagingRegisters({ cr3: tables.cr3, ...hlat(0) });
    const { outcome, steps } = translate(registers, tables.memory, at(VA), access('read'));
    expect(outcome).toMatchObject({ gpa: PAGE });
    expect(steps.map(({ root, level }) => `${root} ${level}`)).toEqual([
      'hlat 4',
      'hlat 3',
      'hlat 2',
      'cr3 4',
      'cr3 3',
      'cr3 2',
      'cr3 1',
    ]);
  });

  it('sets bit 7 of the error code when its tables have no translation, not when a right is missing', () => {
    expect(errorCode(both({ entries: { 1: 'R' } }), access('read'), hlat(0))).toBe(0x80);
    expect(errorCode(both({ bits: { 1: 1n << 51n } }), access('read'), hlat(0))).toBe(0x89);
    expect(errorCode(both({ entries: { 1: 'P A' } }), access('write'), hlat(0))).toBe(3);
  });
});

import type { Pfn, VirtualFrame } from '@heki/physical-memory';
import { REFUSED, type SecondLevel, SecondLevelAccess, SecondLevelRights } from '@heki/second-level';
import { describe, expect, it } from 'vitest';
import { PageRights } from '../entries/page-rights.ts';
import { X86Error } from '../error.ts';
import { CR0, EFER } from '../registers/control-registers.ts';
import { INTEL_SKYLAKE, INTEL_VT_RP } from '../registers/cpu-profiles.ts';
import { pagingRegisters } from '../registers/registers.ts';
import { drawTables } from '../testing/table-picture.ts';
import { AccessBits } from './access.ts';
import { createPageWalker } from './create-page-walker.ts';
import { PageFaultCode } from './page-fault.ts';
import { WalkOutcome } from './page-walker.ts';

const VA = 0xffff_8880_4060_3000n;
const FRAME = Number(VA >> 12n) as VirtualFrame;
const { READ, WRITE } = AccessBits;

/** An identity second level whose leaves have one size, and which refuses what `refuses` says. */
function identity(
  level: number,
  refuses: (gfn: number, access: number) => boolean = () => false,
): SecondLevel {
  return {
    fault: undefined,
    level,
    rights: SecondLevelRights.READ | SecondLevelRights.WRITE,
    translate: (gfn, _offset, access) => (refuses(gfn, access) ? REFUSED : (gfn as number as Pfn)),
  };
}

describe('what a walk leaves for a TLB', () => {
  it.each([
    [1, 1, 1],
    [2, 1, 1],
    [2, 2, 2],
    [2, 3, 2],
    [3, 2, 2],
    [3, 3, 3],
  ] as const)(
    'covers, with a guest leaf of level %i over one of level %i, level %i',
    (leaf, level, covered) => {
      const { memory, cr3 } = drawTables([{ va: VA, leaf, page: 0x4000_0000 }]);
      const walker = createPageWalker({
        memory,
        registers: pagingRegisters({ cr3 }),
        secondLevel: identity(level),
      });
      expect(walker.walk(FRAME, 0, READ)).toBe(WalkOutcome.MAPPED);
      expect([walker.level, walker.translationLevel]).toEqual([leaf, covered]);
      expect(walker.secondLevelRights).toBe(SecondLevelRights.READ | SecondLevelRights.WRITE);
    },
  );

  it('is, without a second level, the guest leaf with every right', () => {
    const { memory, cr3 } = drawTables([{ va: VA, leaf: 3, page: 0x4000_0000 }]);
    const walker = createPageWalker({ memory, registers: pagingRegisters({ cr3 }) });
    expect(walker.walk(FRAME, 0, READ)).toBe(WalkOutcome.MAPPED);
    expect([walker.frame, walker.guestFrame]).toEqual([0x4_0603, 0x4_0603]);
    expect(walker.translationLevel).toBe(3);
    const all = Object.values(SecondLevelRights).reduce((mask, right) => mask | right);
    expect(walker.secondLevelRights).toBe(all);
  });

  it('says that a page is dirty only once a write has made it so', () => {
    const { memory, cr3 } = drawTables([{ va: VA, leaf: 1, page: 0x5000, entries: { 1: 'P RW A' } }]);
    const walker = createPageWalker({ memory, registers: pagingRegisters({ cr3 }) });
    walker.walk(FRAME, 0, READ);
    expect(walker.rights & PageRights.DIRTY).toBe(0);
    walker.walk(FRAME, 0, WRITE);
    expect(walker.rights & PageRights.DIRTY).toBe(PageRights.DIRTY);
    walker.walk(FRAME, 0, READ);
    expect(walker.rights & PageRights.DIRTY).toBe(PageRights.DIRTY);
  });

  it('never says so of a leaf with R/W = 0 on a processor that supports CET, which leaves D clear there', () => {
    const registers = pagingRegisters({ cr0: CR0.PG | CR0.PE });
    for (const [processor, dirty] of [
      [INTEL_SKYLAKE, PageRights.DIRTY],
      [INTEL_VT_RP, 0],
    ] as const) {
      const picture = drawTables([{ va: VA, leaf: 1, page: 0x5000, entries: { 1: 'P A' } }]);
      const { memory, cr3 } = picture;
      const walker = createPageWalker({ memory, registers: { ...registers, cr3 }, processor });
      expect(walker.walk(FRAME, 0, WRITE)).toBe(WalkOutcome.MAPPED);
      expect(walker.rights & PageRights.DIRTY).toBe(dirty);
      expect(Number(picture.entry(1, VA) & 0x40n)).toBe(dirty === 0 ? 0 : 0x40);
    }
  });

  it('is checked again with the registers as they are then', () => {
    const { memory, cr3 } = drawTables([{ va: VA, leaf: 1, page: 0x5000, entries: { 1: 'P A D' } }]);
    const walker = createPageWalker({ memory, registers: pagingRegisters({ cr3 }) });
    walker.walk(FRAME, 0, READ);
    const { rights, key } = walker;
    expect(walker.check(rights, key, WRITE)).toBe(PageFaultCode.P | PageFaultCode.W);
    const registers = pagingRegisters({ cr3 });
    walker.setRegisters({ ...registers, cr0: registers.cr0 & ~(1n << 16n) });
    expect(walker.check(rights, key, WRITE)).toBe(0);
  });
});

describe('a refusal by the second level', () => {
  it('is located: the guest entry and its offset, or the page and the offset in it', () => {
    const picture = drawTables([{ va: VA, leaf: 1, page: 0x5000 }]);
    const registers = pagingRegisters({ cr3: picture.cr3 });
    const entry = picture.addressOfEntry(2, VA);
    const atEntry = createPageWalker({
      memory: picture.memory,
      registers,
      secondLevel: identity(1, (gfn) => gfn === Math.floor(entry / 4096)),
    });
    expect(atEntry.walk(FRAME, 0x123, READ)).toBe(WalkOutcome.SECOND_LEVEL);
    expect([atEntry.guestFrame * 4096 + atEntry.guestOffset, atEntry.refusedPagingStructure]).toEqual([
      entry,
      true,
    ]);
    const atPage = createPageWalker({
      memory: picture.memory,
      registers,
      secondLevel: identity(1, (_, access) => (access & SecondLevelAccess.PAGING_STRUCTURE) === 0),
    });
    expect(atPage.walk(FRAME, 0x123, READ)).toBe(WalkOutcome.SECOND_LEVEL);
    expect([atPage.guestFrame, atPage.guestOffset, atPage.refusedPagingStructure]).toEqual([5, 0x123, false]);
  });
});

describe('a page walker', () => {
  it('refuses registers with paging outside long mode', () => {
    const { memory } = drawTables([]);
    const registers = pagingRegisters({ efer: EFER.LME });
    expect(() => createPageWalker({ memory, registers })).toThrow(X86Error);
  });
});

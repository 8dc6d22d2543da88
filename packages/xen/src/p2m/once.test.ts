import type { Gfn, Gpa, Pfn } from '@heki/physical-memory';
import { REFUSED, type SecondLevel, SecondLevelAccess, SecondLevelRights } from '@heki/second-level';
import type { SecondLevelFault } from '@heki/vcpu';
import { describe, expect, it } from 'vitest';
import { createOnceView } from './once.ts';

const { READ, WRITE } = SecondLevelAccess;
const PAGE = 7 as Gfn;
const OTHER = 8 as Gfn;
const BACKING = 70 as Pfn;

/** A second level that lets frames be read, and refuses writes of them. */
function readOnly(): SecondLevel<SecondLevelFault> & { asked: number } {
  const level = {
    asked: 0,
    fault: undefined as SecondLevelFault | undefined,
    level: 2,
    rights: SecondLevelRights.READ,
    translate(gfn: Gfn, offset: number, access: number): Pfn | typeof REFUSED {
      level.asked++;
      if ((access & WRITE) === 0) return (gfn * 10) as Pfn;
      level.fault = { kind: 'ept-violation', qualification: 2, gpa: (gfn * 4096 + offset) as Gpa };
      return REFUSED;
    },
  };
  return level;
}

describe('a view for one access', () => {
  it('lets one access through that was refused, and no second one', () => {
    const view = createOnceView(readOnly(), PAGE, BACKING);
    expect(view.translate(PAGE, 0x10, WRITE)).toBe(BACKING);
    expect(view.fault).toBeUndefined();
    expect(view.translate(PAGE, 0x10, WRITE)).toBe(REFUSED);
    expect(view.fault).toEqual({ kind: 'ept-violation', qualification: 2, gpa: 7 * 4096 + 0x10 });
  });

  it('is not spent by an access that is allowed anyway, as that of a page table in the same frame', () => {
    const view = createOnceView(readOnly(), PAGE, BACKING);
    for (const _ of [1, 2]) expect(view.translate(PAGE, 0, READ)).toBe(70);
    expect(view.translate(PAGE, 0, WRITE)).toBe(BACKING);
    expect(view.translate(PAGE, 0, READ)).toBe(70);
    expect(view.translate(PAGE, 0, WRITE)).toBe(REFUSED);
  });

  it('leaves every other frame as it is', () => {
    const view = createOnceView(readOnly(), PAGE, BACKING);
    expect(view.translate(OTHER, 4, READ)).toBe(80);
    expect(view.translate(OTHER, 4, WRITE)).toBe(REFUSED);
    expect(view.fault).toMatchObject({ gpa: 8 * 4096 + 4 });
    expect(view.translate(PAGE, 0, WRITE)).toBe(BACKING);
  });

  it('gives nothing that may be cached, and in pages of 4 KiB', () => {
    const inner = readOnly();
    const view = createOnceView(inner, PAGE, BACKING);
    view.translate(PAGE, 0, READ);
    expect([view.level, view.rights]).toEqual([1, 0]);
    expect(inner.asked).toBe(1);
  });
});

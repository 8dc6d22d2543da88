import type { Gfn } from '@heki/physical-memory';
import { SecondLevelAccess, SecondLevelRights } from '@heki/second-level';
import type { Access } from '@heki/x86';
import { describe, expect, it } from 'vitest';
import type { EptControls } from './controls.ts';
import type { EptLeafOptions } from './editor.ts';
import { EptLow } from './entry.ts';
import { createGuest, GUEST_PAGE, GUEST_TABLES } from './testing/guest.ts';

const READ: Access = { kind: 'read', mode: 'supervisor' };
const WRITE: Access = { kind: 'write', mode: 'supervisor' };
const R = EptLow.R;
const RX = EptLow.R | EptLow.X;

/** What reading and what writing the page meets, with A and D of the guest entry as given. */
function through(
  pageTable: EptLeafOptions,
  options: {
    readonly accessedDirty: boolean;
    readonly guestFlags: number;
    readonly controls?: EptControls;
    readonly page?: EptLeafOptions;
  },
): [string, string] {
  const violation = (access: Access): string =>
    createGuest({ ...options, pageTable })
      .access(access)
      .replace(/: .*/, '');
  return [violation(READ), violation(WRITE)];
}

describe('a guest page table that EPT makes read-only', () => {
  it('works without EPT A/D flags as long as the processor has no flag to set', () => {
    const off = { accessedDirty: false };
    expect(through({ rights: R }, { ...off, guestFlags: 0x60 })).toEqual(['allowed', 'allowed']);
    expect(through({ rights: R }, { ...off, guestFlags: 0x20 })).toEqual(['allowed', '0x8b']);
    expect(through({ rights: R }, { ...off, guestFlags: 0 })).toEqual(['0x8b', '0x8b']);
    expect(through({ rights: RX }, { ...off, guestFlags: 0x20 })).toEqual(['allowed', '0xab']);
  });

  it('is unusable with EPT A/D flags even when A and D of the guest entry are set already', () => {
    for (const guestFlags of [0, 0x20, 0x60]) {
      const on = { accessedDirty: true, guestFlags };
      expect(through({ rights: R }, on)).toEqual(['0x8b', '0x8b']);
      expect(through({ rights: RX }, on)).toEqual(['0xab', '0xab']);
      expect(through({ rights: R | EptLow.W }, on)).toEqual(['allowed', 'allowed']);
    }
  });

  it('works in every case with paging-write, and its flags are really set', () => {
    const controls = { pagingWrite: true };
    const pageTable = { rights: R, pagingWrite: true };
    for (const accessedDirty of [false, true]) {
      for (const guestFlags of [0, 0x20, 0x60]) {
        expect(through(pageTable, { accessedDirty, guestFlags, controls })).toEqual(['allowed', 'allowed']);
        // The bit alone does nothing, nor does the control.
        if (guestFlags === 0) {
          expect(through(pageTable, { accessedDirty, guestFlags })).toEqual(['0x8b', '0x8b']);
          expect(through({ rights: R }, { accessedDirty, guestFlags, controls })).toEqual(['0x8b', '0x8b']);
        }
      }
      const guest = createGuest({ accessedDirty, guestFlags: 0, controls, pageTable });
      guest.access(WRITE);
      expect(guest.guestPte() & 0x60).toBe(0x60);
    }
  });

  it('stays closed to software with paging-write', () => {
    const guest = createGuest({
      accessedDirty: false,
      controls: { pagingWrite: true },
      page: { rights: R, pagingWrite: true },
    });
    expect(guest.access(WRITE)).toMatch('0x78a: WRITE READABLE LINEAR_VALID FINAL_ADDRESS');
  });

  it('that is not present reports no rights, and a write only with EPT A/D flags', () => {
    for (const accessedDirty of [false, true]) {
      const guest = createGuest({ accessedDirty });
      guest.editor.unmap(0x13 as never, 0x14 as never);
      expect(guest.access(WRITE)).toMatch(
        accessedDirty ? '0x83: READ WRITE LINEAR_VALID' : '0x81: READ LINEAR_VALID',
      );
    }
  });
});

describe('guest-paging verification', () => {
  const controls = { pagingWrite: true, guestPagingVerification: true };
  const page = { rights: R | EptLow.W, verifyGuestPaging: true };
  const trusted = { rights: R, pagingWrite: true };

  it('refuses a page that asks for it unless every guest entry came through paging-write pages', () => {
    const guest = createGuest({ accessedDirty: false, controls, page, pageTable: trusted });
    expect(guest.access(READ)).toMatch(/^0x8799: READ READABLE WRITABLE .* VERIFICATION$/);
    guest.editor.update(0x10 as never, 0x13 as never, {
      clear: { low: EptLow.W, high: 0 },
      set: { low: 0, high: 1 << 26 },
    });
    expect(guest.access(READ)).toBe('allowed');
    expect(guest.access(WRITE)).toBe('allowed');
  });

  it('is remembered from one step of a walk to the next, also when a step is explained', () => {
    const guest = createGuest({ accessedDirty: false, controls, page, pageTable: trusted });
    const { PAGING_STRUCTURE, WALK_START, LINEAR_VALID, READ: ANY_READ } = SecondLevelAccess;
    const entry = ANY_READ | PAGING_STRUCTURE | LINEAR_VALID;
    const allowed = (access: number): boolean => {
      const { allowed: explained } = guest.ept.explain(GUEST_PAGE, 0, ANY_READ | LINEAR_VALID | access);
      return explained;
    };
    expect(allowed(0)).toBe(true);
    // The first three tables of the guest lie in pages that are not trusted.
    guest.ept.translate(GUEST_TABLES[0] as Gfn, 0, entry | WALK_START);
    expect([allowed(0), allowed(WALK_START)]).toEqual([false, true]);
    guest.ept.translate(GUEST_TABLES[3] as Gfn, 0, entry);
    expect(allowed(0)).toBe(false);
    guest.ept.translate(GUEST_TABLES[3] as Gfn, 0, entry | WALK_START);
    expect(allowed(0)).toBe(true);
  });

  it('lets no cache answer for it: neither for guest entries nor for pages that ask for it', () => {
    const guest = createGuest({ accessedDirty: false, controls, page, pageTable: { ...trusted, ...page } });
    const { PAGING_STRUCTURE, WALK_START, READ: ANY_READ } = SecondLevelAccess;
    const structures = SecondLevelRights.READ_PAGING_STRUCTURE | SecondLevelRights.WRITE_PAGING_STRUCTURE;
    guest.ept.translate(GUEST_TABLES[0] as Gfn, 0, ANY_READ | PAGING_STRUCTURE | WALK_START);
    expect(guest.ept.rights & structures).toBe(0);
    expect(guest.ept.rights & SecondLevelRights.READ).not.toBe(0);
    guest.ept.translate(GUEST_TABLES[3] as Gfn, 0, ANY_READ | PAGING_STRUCTURE);
    expect(guest.ept.rights).toBe(0);
    guest.ept.translate(GUEST_PAGE, 0, ANY_READ | WALK_START);
    expect(guest.ept.rights).toBe(0);
  });

  it('leaves pages alone that do not ask for it, and does nothing while the control is off', () => {
    expect(createGuest({ accessedDirty: false, controls, page: { rights: R } }).access(READ)).toBe('allowed');
    expect(createGuest({ accessedDirty: false, page }).access(READ)).toBe('allowed');
  });

  it('reports a denied right before it', () => {
    const guest = createGuest({ accessedDirty: false, controls, page: { ...page, rights: R } });
    expect(guest.access(WRITE)).toMatch(/^0x78a/);
  });
});

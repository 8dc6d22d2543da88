import type { Gfn, VirtualFrame } from '@heki/physical-memory';
import { describe, expect, test } from 'vitest';
import { GuestError, HekiCommand, permissionChange } from './index.ts';
import { at, GuestTables } from './testing/guest-tables.ts';
import {
  ALL,
  DIRECT_MAP,
  EXEC,
  IMAGE,
  IMMUTABLE,
  READ,
  r,
  rw,
  rx,
  smallKernel,
  start,
  VMALLOC,
  WRITE,
} from './testing/small-kernel-guest.ts';
import { createTestKernel } from './testing/test-kernel.ts';

describe('early init', () => {
  test('counts the kernel image and leaves the direct map out', () => {
    const { guest, log } = start({ profile: 'rfc-v2' });
    expect(guest.earlyInit()).toEqual({ outcome: 'counting', leaves: 2, pages: 1024 });
    expect(log()).toEqual([
      'heki-guest: Heki is enabled',
      'heki-guest: Heki is supported by the active Hypervisor',
    ]);
    expect(guest.counters(0x1000 as Gfn)).toEqual({ read: 1, write: 0, execute: 1 });
    expect(guest.counters(0x1200 as Gfn)).toEqual({ read: 1, write: 0, execute: 0 });
    expect(guest.counters(0 as Gfn)).toBeUndefined();
    expect(guest.permissions(0 as Gfn)).toBe(READ | WRITE);
  });

  test('counts several mappings of one page', () => {
    const tables = smallKernel();
    tables.map(VMALLOC, 0x1005, 2, '4K', 'rw-');
    const { guest } = start({ tables });
    guest.earlyInit();
    expect(guest.counters(0x1005 as Gfn)).toEqual({ read: 2, write: 1, execute: 1 });
    expect(guest.permissions(0x1006 as Gfn)).toBe(READ | WRITE | EXEC);
  });

  test('does nothing with heki=0', () => {
    const { guest, log } = start({ enabled: false });
    expect(guest.earlyInit()).toEqual({ outcome: 'disabled' });
    expect(guest.lateInit()).toEqual({ outcome: 'not-counting' });
    expect(log()).toEqual(['heki-guest: Heki is not enabled']);
  });

  test('does nothing without a hypervisor that supports it', () => {
    const { guest, log } = start();
    guest.hypervisor = undefined;
    expect(guest.earlyInit()).toEqual({ outcome: 'no-hypervisor' });
    expect(log()).toEqual([
      'heki-guest: Heki is enabled',
      'heki-guest: No support for Heki in the active hypervisor',
    ]);
  });

  test('refuses a kernel built with KASLR, whatever its command line says (B-G20)', () => {
    const { guest, log } = start({ profile: 'rfc-v2', config: { RANDOMIZE_BASE: true } });
    expect(guest.earlyInit()).toEqual({ outcome: 'kaslr' });
    expect(log()).toEqual(['heki-guest: Heki is disabled because KASLR is not supported yet']);
  });

  test('is not in a kernel with jump labels (B-G20)', () => {
    const { guest, log } = start({ profile: 'rfc-v2', config: { JUMP_LABEL: true } });
    expect(guest.earlyInit()).toEqual({
      outcome: 'not-built',
      reasons: ['HEKI depends on !JUMP_LABEL, and JUMP_LABEL is set'],
    });
    expect(log()).toEqual([]);
    expect(start({ config: { JUMP_LABEL: true } }).guest.earlyInit().outcome).toBe('counting');
  });

  test('works where KASLR has moved the direct map', () => {
    const tables = new GuestTables({ start: 2 ** 20 });
    const directMapAt = at('ffff9a0040000000');
    tables.map(directMapAt, 0, 32, '2M', 'rw-');
    tables.map(IMAGE, 0x1000, 1, '2M', 'r-x');
    tables.map(VMALLOC, 0x300, 100, '4K', 'rw-');
    const { guest, sent } = start({ tables, directMapAt, config: { RANDOMIZE_BASE: true } });
    expect(guest.earlyInit()).toMatchObject({ outcome: 'counting', pages: 612 });
    expect(guest.directMap).toEqual({ start: directMapAt, end: at('ffff9a0044000000') });
    expect(guest.lateInit()).toEqual({ outcome: 'protected' });
    expect(sent()).toEqual(['0-1000 3', '1000-1200 7', '1200-4000 3']);
  });

  test('works with 5-level paging', () => {
    const tables = new GuestTables({ start: 2 ** 20, levels: 5 });
    tables.map(at('ff11000000000000'), 0, 32, '2M', 'rw-');
    tables.map(at('ffa0000000000000'), 0x123, 1, '4K', 'r-x');
    tables.map(IMAGE, 0x1000, 1, '2M', 'r-x');
    for (const profile of ['rfc-v2', 'hardened'] as const) {
      const { guest } = start({ tables, profile });
      expect(guest.earlyInit()).toEqual({ outcome: 'counting', leaves: 2, pages: 513 });
      expect(guest.directMap.start).toBe(at('ff11000000000000'));
    }
  });

  test('runs once', () => {
    const { guest } = start();
    guest.earlyInit();
    expect(() => guest.earlyInit()).toThrow(GuestError);
  });
});

describe('late init', () => {
  test.each(['rfc-v2', 'hardened'] as const)(
    'of %s locks registers, then sends all of the direct map',
    (profile) => {
      const { guest, log, lists, sent, kernel, events } = start({ profile });
      guest.earlyInit();
      expect(guest.protectsMemory).toBe(false);
      expect(guest.lateInit()).toEqual({ outcome: 'protected' });
      expect(guest.protectsMemory).toBe(true);
      expect(lists.length).toBe(1);
      expect(sent()).toEqual([
        '0-1000 3',
        `1000-1200 ${READ | EXEC | IMMUTABLE}`,
        `1200-1400 ${READ | IMMUTABLE}`,
        '1400-4000 3',
      ]);
      expect(log().slice(2)).toEqual([
        'heki-guest: Control registers locked',
        'heki-guest: Guest memory protected',
      ]);
      expect(kernel.pagesInUse).toBe(0);
      expect(events.at(-2)).toEqual({
        type: 'page-list',
        list: 2 ** 48,
        pages: 1,
        ranges: 4,
        frames: 0x4000,
        result: 0,
      });
    },
  );

  test('ends when the registers cannot be locked, with memory unprotected', () => {
    const { guest, log, world, events, lists } = start();
    guest.earlyInit();
    world.lock = -22;
    expect(guest.lateInit()).toEqual({ outcome: 'registers-refused', error: -22 });
    expect(log().length).toBe(2);
    expect(events.at(-1)).toMatchObject({ type: 'warning' });
    expect([guest.protectsMemory, lists.length]).toEqual([false, 0]);
  });

  test('claims success whatever happened (B-G3)', () => {
    const { guest, log, world } = start({ profile: 'rfc-v2' });
    guest.earlyInit();
    world.answer = -22;
    expect(guest.lateInit()).toEqual({ outcome: 'protected' });
    expect(log().slice(3)).toEqual([
      'heki-guest: Failed to set memory permission',
      'heki-guest: Guest memory protected',
    ]);
  });

  test('says that memory is not protected, and enforces nothing from then on', () => {
    const { guest, log, world, events } = start();
    guest.earlyInit();
    world.answer = -22;
    expect(guest.lateInit()).toEqual({ outcome: 'memory-refused', error: -22 });
    expect(log().slice(3)).toEqual(['heki-guest: Failed to set memory permission']);
    expect(guest.protectsMemory).toBe(false);
    expect(guest.counters(0 as Gfn)).toBeUndefined();
    expect(events.at(-1)).toEqual({ type: 'rolled-back', command: HekiCommand.PROTECT_MEMORY, error: -22 });
    world.answer = 0;
    expect(guest.lateInit()).toEqual({ outcome: 'protected' });
  });

  test('fails in a kernel without a direct map', () => {
    const tables = new GuestTables({ start: 2 ** 20 });
    tables.map(VMALLOC, 0x100, 3, '4K', 'rw-');
    const directMap = { start: DIRECT_MAP, end: DIRECT_MAP };
    const kernel = { ...createTestKernel({ tables, validFrames: ALL }), directMap };
    const { guest, log } = start({ kernel });
    expect(guest.earlyInit()).toMatchObject({ pages: 3 });
    expect(guest.lateInit()).toEqual({ outcome: 'memory-refused', error: -22 });
    expect(log().at(-1)).toBe('heki-guest: No direct map found');
  });

  test('runs the KUnit test that was asked for, also in an unprotected kernel', () => {
    const ran: number[] = [];
    const runTest = (number: number) => ran.push(number);
    const { guest, log } = start({ config: { KUNIT: true }, test: 3, runTest });
    guest.lateInit();
    guest.earlyInit();
    guest.lateInit();
    expect(ran).toEqual([3, 3]);
    expect(log()[0]).toBe('heki-guest: Running test #3');
    start({ config: { KUNIT: true }, test: 5, runTest }).guest.lateInit();
    start({ test: 3, runTest }).guest.lateInit();
    expect(ran).toEqual([3, 3]);
  });
});

describe('the hooks', () => {
  test('change nothing before early init', () => {
    const { guest, lists } = start();
    expect(guest.map(IMAGE, (IMAGE + 1) as VirtualFrame)).toBe(0);
    expect(guest.textPokeStart([5 as Gfn])).toBe(0);
    expect([guest.countedFrames(), lists.length]).toEqual([0, 0]);
  });

  test('send nothing before late init', () => {
    const { guest, lists } = start();
    guest.earlyInit();
    guest.beginChange().update(IMAGE, (IMAGE + 1) as VirtualFrame, WRITE, 0);
    expect(guest.counters(0x1000 as Gfn)).toEqual({ read: 1, write: 1, execute: 1 });
    expect(guest.counters(0x1001 as Gfn)).toEqual({ read: 1, write: 0, execute: 1 });
    expect(lists).toEqual([]);
  });

  test('send what changed, and only that', () => {
    const tables = smallKernel();
    const { guest, protect, sent, lists } = start({ profile: 'rfc-v2', tables });
    protect();
    tables.map(VMALLOC, 0x3000, 4, '4K', 'rw-');
    const end = (VMALLOC + 4) as VirtualFrame;
    expect(guest.map(VMALLOC, end)).toBe(0);
    expect(lists).toEqual([]);
    guest.beginChange().update(VMALLOC, (VMALLOC + 3) as VirtualFrame, 0, WRITE);
    expect(sent()).toEqual(['3000-3003 1']);
    tables.map(VMALLOC, 0x3000, 3, '4K', 'r--');
    guest.beginChange().update(VMALLOC, (VMALLOC + 1) as VirtualFrame, EXEC, 0);
    expect(sent()).toEqual(['3000-3001 5']);
    tables.map(VMALLOC, 0x3000, 1, '4K', 'r-x');
    guest.beginChange().unmap(VMALLOC, end);
    expect(sent()).toEqual(['3000-3003 3']);
  });

  test('cut large mappings where the range ends', () => {
    const { guest } = start();
    guest.earlyInit();
    guest.beginChange().update((IMAGE + 7) as VirtualFrame, (IMAGE + 9) as VirtualFrame, 0, EXEC);
    expect([0x1006, 0x1007, 0x1008, 0x1009].map((frame) => guest.permissions(frame as Gfn))).toEqual([
      5, 1, 1, 5,
    ]);
  });

  test('open a page for patching and close it again', () => {
    const { guest, protect, sent } = start();
    protect();
    expect(guest.textPokeStart([0x1000 as Gfn, 0x1001 as Gfn])).toBe(0);
    expect(sent()).toEqual(['1000-1002 7']);
    expect(guest.textPokeEnd([0x1000 as Gfn, 0x1001 as Gfn])).toBe(0);
    expect(sent()).toEqual(['1000-1002 5']);
  });

  test('refuse what cannot be', () => {
    const { guest } = start();
    guest.earlyInit();
    expect(() => guest.map(-1 as VirtualFrame, IMAGE)).toThrow(GuestError);
    expect(() => guest.map(IMAGE, (2 ** 52 + 1) as VirtualFrame)).toThrow(GuestError);
    expect(() => guest.beginChange().update(IMAGE, IMAGE, 16, 0)).toThrow('set is 16');
    expect(() => guest.textPokeStart([])).toThrow('0 pages');
    expect(() =>
      guest.applyLeaves(HekiCommand.MAP, [{ guestFrame: (2 ** 40) as Gfn, frames: 1, ...r }]),
    ).toThrow(GuestError);
    expect(() => start({ test: -1 })).toThrow(GuestError);
    expect(guest.map((IMAGE + 5) as VirtualFrame, IMAGE)).toBe(0);
  });

  test('say when page tables are missing or have no end', () => {
    const tables = smallKernel();
    const root = tables.memory.writablePage(tables.root);
    root?.set([0x7000_0067, 0x1234], 2 * 500);
    root?.set([(tables.root % 2 ** 20) * 4096 + 0x67, 0], 2 * 501);
    const { guest, events } = start({ tables });
    guest.earlyInit();
    const warnings = events.flatMap((event) => (event.type === 'warning' ? [event.text] : []));
    expect(warnings.some((text) => text.includes('page tables are not in memory'))).toBe(true);
  });

  test('know the permissions that setting and clearing page attributes amounts to', () => {
    expect(permissionChange('set', { writable: true })).toEqual({ set: WRITE, clear: 0 });
    expect(permissionChange('clear', { writable: true })).toEqual({ set: 0, clear: WRITE });
    expect(permissionChange('set', { noExecute: true })).toEqual({ set: 0, clear: EXEC });
    expect(permissionChange('clear', { writable: true, noExecute: true })).toEqual({
      set: EXEC,
      clear: WRITE,
    });
  });
});

describe('the direct map', () => {
  test('is not counted, yet its changes are subtracted from other mappings (B-G5)', () => {
    const { guest, protect, sent } = start({ profile: 'rfc-v2' });
    protect();
    // The kernel maps page 0x3000 twice writable, in vmalloc space and in the direct map, and makes the latter read-only.
    guest.applyLeaves(HekiCommand.MAP, [{ guestFrame: 0x3000 as Gfn, frames: 1, ...rw }]);
    const alias = (DIRECT_MAP + 0x3000) as VirtualFrame;
    guest.beginChange().update(alias, (alias + 2) as VirtualFrame, 0, WRITE);
    expect(guest.counters(0x3000 as Gfn)).toEqual({ read: 1, write: 0, execute: 0 });
    expect(guest.counters(0x3001 as Gfn)).toBeUndefined();
    expect(sent()).toEqual(['3000-3001 1']);
  });

  test('counts like any mapping where that is mended', () => {
    const { guest, protect, sent, lists } = start();
    protect();
    guest.applyLeaves(HekiCommand.MAP, [{ guestFrame: 0x3000 as Gfn, frames: 1, ...rw }]);
    const alias = (DIRECT_MAP + 0x3000) as VirtualFrame;
    guest.beginChange().update(alias, (alias + 2) as VirtualFrame, 0, WRITE);
    expect(guest.counters(0x3000 as Gfn)).toEqual({ read: 2, write: 1, execute: 0 });
    expect(guest.counters(0x3001 as Gfn)).toEqual({ read: 1, write: 0, execute: 0 });
    expect(sent()).toEqual(['3001-3002 1']);
    expect(lists.length).toBe(1);
    // Protecting again sends it all, and counts nothing twice.
    guest.protect(DIRECT_MAP, (DIRECT_MAP + 0x4000) as VirtualFrame);
    expect(guest.counters(0x3000 as Gfn)).toEqual({ read: 2, write: 1, execute: 0 });
    expect(sent()).toContain('3001-3002 9');
  });

  test.each([
    ['rfc-v2', '99-9b 3'],
    ['hardened', '99-9b 13'],
  ] as const)('under %s gives the real-mode trampoline %s (B-G6)', (profile, expected) => {
    const tables = new GuestTables({ start: 2 ** 20 });
    tables.map(DIRECT_MAP, 0, 512, '4K', 'rw-');
    tables.map(DIRECT_MAP + 0x99, 0x99, 2, '4K', 'r-x');
    tables.map(VMALLOC, 0x98, 1, '4K', 'r-x');
    tables.map(VMALLOC + 1, 0x9b, 1, '4K', 'r-x');
    const { guest, sent } = start({ profile, tables });
    guest.earlyInit();
    guest.lateInit();
    expect(sent()).toContain(expected);
    expect(guest.permissions(0x98 as Gfn)).toBe(READ | WRITE | EXEC);
  });
});

describe('memory that the direct map lacks', () => {
  /** Text of a module, and data, whose pages the direct map has no more; and registers of a device, which it never had. */
  const tables = () => {
    const hidden = new GuestTables({ start: 2 ** 20 });
    hidden.map(DIRECT_MAP, 0, 0x100, '4K', 'rw-');
    hidden.map(DIRECT_MAP + 0x104, 0x104, 0xfc, '4K', 'rw-');
    hidden.map(VMALLOC, 0x100, 2, '4K', 'r-x');
    hidden.map(VMALLOC + 2, 0x102, 1, '4K', 'rw-');
    hidden.map(VMALLOC + 8, 0x3f00, 1, '4K', 'rw-');
    return hidden;
  };
  const run = (profile: 'rfc-v2' | 'hardened') => {
    const core = start({ profile, tables: tables(), ramFrames: [{ start: 0 as Gfn, end: 0x200 as Gfn }] });
    core.guest.earlyInit();
    return { ...core, late: core.guest.lateInit() };
  };

  test('is never sent, as published (B-G24)', () => {
    const { late, sent } = run('rfc-v2');
    expect(late).toEqual({ outcome: 'protected' });
    expect(sent()).toEqual(['0-100 3', '104-200 3']);
  });

  test('is sent with what its mappings allow, where that is mended; device memory is not', () => {
    const { late, sent, events } = run('hardened');
    expect(late).toEqual({ outcome: 'protected' });
    expect(sent()).toEqual([
      '0-100 3',
      '104-200 3',
      `100-102 ${READ | EXEC | IMMUTABLE}`,
      `102-103 ${READ | WRITE}`,
    ]);
    expect(events).toContainEqual({ type: 'protected-elsewhere', frames: 3 });
  });

  test('is not counted as sent when the hypervisor refuses', () => {
    const { guest, world } = start({ tables: tables() });
    world.answer = -1;
    guest.earlyInit();
    expect(guest.lateInit()).toEqual({ outcome: 'memory-refused', error: -1 });
    expect(guest.protectsMemory).toBe(false);
  });
});

describe('counters', () => {
  test('go below zero, and then grant (B-G7)', () => {
    const { guest } = start({ profile: 'rfc-v2' });
    guest.earlyInit();
    const leaf = { guestFrame: 0x1200 as Gfn, frames: 1 };
    guest.applyLeaves(HekiCommand.UNMAP, [{ ...leaf, ...rx }]);
    expect(guest.counters(0x1200 as Gfn)).toEqual({ read: 0, write: 0, execute: -1 });
    expect(guest.permissions(0x1200 as Gfn)).toBe(EXEC);
  });

  test('stop at zero, and are gone with the last mapping, where that is mended', () => {
    const { guest, events } = start();
    guest.earlyInit();
    const leaf = { guestFrame: 0x1200 as Gfn, frames: 1 };
    guest.applyLeaves(HekiCommand.UNMAP, [{ ...leaf, ...rx }]);
    expect(guest.counters(0x1200 as Gfn)).toBeUndefined();
    guest.applyLeaves(HekiCommand.UNMAP, [{ ...leaf, ...rx }]);
    guest.applyLeaves(HekiCommand.UNMAP, [{ ...leaf, ...rx }]);
    expect(guest.counters(0x1200 as Gfn)).toBeUndefined();
    expect(events.filter(({ type }) => type === 'warning').length).toBe(1);
  });

  test('stay right when one page is mapped more often than there are states kept', () => {
    const { guest } = start({ profile: 'rfc-v2' });
    guest.earlyInit();
    const leaf = { guestFrame: 0x1200 as Gfn, frames: 1, ...rw };
    for (let times = 0; times < 5000; times++) guest.applyLeaves(HekiCommand.MAP, [leaf]);
    expect(guest.counters(0x1200 as Gfn)).toEqual({ read: 5001, write: 5000, execute: 0 });
    for (let times = 0; times < 5000; times++) guest.applyLeaves(HekiCommand.UNMAP, [leaf]);
    expect(guest.counters(0x1200 as Gfn)).toEqual({ read: 1, write: 0, execute: 0 });
    expect(guest.counters(0x1000 as Gfn)).toEqual({ read: 1, write: 0, execute: 1 });
  });

  test('are shared by pages 512 GiB apart in a kernel without 5-level support (B-G8)', () => {
    const far = (2 ** 27 + 0x1000) as Gfn;
    const validFrames = [{ start: 0 as Gfn, end: (2 ** 28) as Gfn }];
    const config = { X86_5LEVEL: false };
    const leaf = { guestFrame: far, frames: 1, ...rw };
    const published = start({ profile: 'rfc-v2', config, validFrames });
    published.guest.earlyInit();
    published.guest.applyLeaves(HekiCommand.MAP, [leaf]);
    expect(published.guest.counters(0x1000 as Gfn)).toEqual({ read: 2, write: 1, execute: 1 });
    const mended = start({ config, validFrames });
    mended.guest.earlyInit();
    mended.guest.applyLeaves(HekiCommand.MAP, [leaf]);
    expect(mended.guest.counters(0x1000 as Gfn)).toEqual({ read: 1, write: 0, execute: 1 });
    expect(mended.guest.counters(far)).toEqual({ read: 1, write: 1, execute: 0 });
  });

  test('count a 2-MiB entry that keeps PSE without P, at the frame that it stores inverted (B-G15)', () => {
    const tables = smallKernel();
    // What pmd_mkinvalid leaves. PROT_NONE alone would make it a table to Linux.
    tables.map(VMALLOC, 2 ** 40 - 0x200 - 0x2000, 1, '2M', 'r-x', 0);
    const published = start({ profile: 'rfc-v2', tables });
    expect(published.guest.earlyInit()).toMatchObject({ leaves: 3, pages: 0x600 });
    expect(published.guest.permissions(0x21ff as Gfn)).toBe(READ | EXEC);
    const mended = start({ tables });
    expect(mended.guest.earlyInit()).toMatchObject({ leaves: 2, pages: 0x400 });
  });

  test('count mappings that are not present, and of a mapping that leaves memory all pages or none (B-G15)', () => {
    const tables = smallKernel();
    // PROT_NONE: present for pte_present, not for the processor; the frame is stored inverted.
    tables.map(VMALLOC, 2 ** 40 - 1 - 0x2000, 1, '4K', 'rw-', 0x100);
    const validFrames = [
      { start: 0 as Gfn, end: 0x1100 as Gfn },
      { start: 0x1300 as Gfn, end: 0x4000 as Gfn },
    ];
    const counted = (guest: ReturnType<typeof start>['guest'], frame: number) =>
      guest.counters(frame as Gfn) !== undefined;
    const published = start({ profile: 'rfc-v2', tables, validFrames });
    expect(published.guest.earlyInit()).toMatchObject({ leaves: 2, pages: 0x201 });
    const mended = start({ tables, validFrames });
    expect(mended.guest.earlyInit()).toMatchObject({ leaves: 2, pages: 0x100 + 0x100 });
    const frames = [0x10ff, 0x1100, 0x12ff, 0x1300, 0x2000];
    expect(frames.map((frame) => counted(published.guest, frame))).toEqual([true, true, false, false, true]);
    expect(frames.map((frame) => counted(mended.guest, frame))).toEqual([true, false, false, true, false]);
  });
});

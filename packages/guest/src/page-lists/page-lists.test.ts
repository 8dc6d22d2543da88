import { encodePageList } from '@heki/hypercall/kvm';
import {
  createRam,
  type Gfn,
  type Gpa,
  readBytes,
  type VirtualAddress,
  type VirtualFrame,
} from '@heki/physical-memory';
import { describe, expect, test } from 'vitest';
import { createHekiGuest, type GuestEvent, HekiCommand } from '../index.ts';
import { ALL, EXEC, READ, rx, smallKernel, start, VMALLOC, WRITE } from '../testing/small-kernel-guest.ts';
import { createTestKernel } from '../testing/test-kernel.ts';

describe('page lists', () => {
  test('are the bytes of the wire format, 169 entries to a page, newest page first', () => {
    const { guest, protect, kernel, lists } = start({ profile: 'rfc-v2' });
    protect();
    const bytes: Uint8Array[] = [];
    const list0 = (2 ** 36) as Gfn;
    guest.hypervisor = {
      lockCrs: () => 0,
      protectMemory(list) {
        for (let page = 0; page < 3; page++) {
          const copy = new Uint8Array(4096);
          readBytes<Gfn>(kernel.listMemory, ((list0 + page) * 4096) as Gpa, copy);
          bytes.push(copy);
        }
        expect(list).toBe((list0 + 2) * 4096);
        return 0;
      },
    };
    const leaves = Array.from({ length: 400 }, (_, index) => ({
      guestFrame: (2 * index) as Gfn,
      frames: 1,
      ...rx,
    }));
    expect(guest.applyLeaves(HekiCommand.MAP, leaves)).toBe(0);

    const memory = createRam({ ranges: [{ start: list0, end: (list0 + 3) as Gfn }] });
    const frames = [0, 1, 2].map((page) => (list0 + page) as Gfn);
    encodePageList({
      memory,
      frames,
      ranges: leaves.map(({ guestFrame }) => ({
        start: guestFrame,
        end: (guestFrame + 1) as Gfn,
        permissions: READ | EXEC,
      })),
      directMap: 0xffff_8880_0000_0000n as VirtualAddress,
    });
    const expected = frames.map((frame) => {
      const copy = new Uint8Array(4096);
      readBytes<Gfn>(memory, (frame * 4096) as Gpa, copy);
      return copy;
    });
    expect(bytes).toEqual(expected);
    expect(lists).toEqual([]);
  });

  test('are leaked when the hypervisor refuses them, and the counters stay changed (B-G1)', () => {
    const { guest, protect, kernel, world, events } = start({ profile: 'rfc-v2' });
    protect();
    world.answer = -1;
    expect(guest.textPokeStart([0x1000 as Gfn])).toBe(0);
    expect(kernel.pagesInUse).toBe(1);
    expect(events.at(-1)).toEqual({ type: 'list-leaked', pages: 1 });
    expect(guest.permissions(0x1000 as Gfn)).toBe(READ | WRITE | EXEC);
  });

  test('are freed, the counters are put back and the caller learns of it where that is mended', () => {
    const { guest, protect, kernel, world, log } = start();
    protect();
    world.answer = -1;
    const before = guest.counters(0x1000 as Gfn);
    expect(guest.textPokeStart([0x1000 as Gfn])).toBe(-1);
    expect(kernel.pagesInUse).toBe(0);
    expect(guest.counters(0x1000 as Gfn)).toEqual(before);
    expect(guest.protectsMemory).toBe(true);
    expect(log()).toEqual(['heki-guest: Failed to set memory permission']);
  });

  test('lose ranges when memory is short, and claim 170 entries when a full page finds no successor (B-G2)', () => {
    const { guest, protect, kernel, lists, events } = start({ profile: 'rfc-v2' });
    protect();
    const leaves = Array.from({ length: 171 }, (_, index) => ({
      guestFrame: (2 * index) as Gfn,
      frames: 1,
      ...rx,
    }));
    kernel.allowPages(1);
    expect(guest.applyLeaves(HekiCommand.MAP, leaves)).toBe(0);
    expect(lists.at(-1)?.map(({ count, entries }) => [count, entries.length])).toEqual([[170, 169]]);
    expect(events.filter(({ type }) => type === 'range-dropped')).toEqual([
      { type: 'range-dropped', start: 338, end: 339, permissions: 5 },
      { type: 'range-dropped', start: 340, end: 341, permissions: 5 },
    ]);
    expect(events.filter(({ type }) => type === 'warning').length).toBe(1);
  });

  test('are not sent in part: without pages for all of it the call fails and changes nothing', () => {
    const { guest, protect, kernel, lists } = start();
    protect();
    const leaves = Array.from({ length: 171 }, (_, index) => ({
      guestFrame: (2 * index) as Gfn,
      frames: 1,
      ...rx,
    }));
    kernel.allowPages(1);
    expect(guest.applyLeaves(HekiCommand.MAP, leaves)).toBe(-12);
    expect([lists.length, kernel.pagesInUse]).toEqual([0, 0]);
    expect(guest.counters(0 as Gfn)).toEqual({ read: 1, write: 1, execute: 0 });
    kernel.allowPages(2);
    expect(guest.applyLeaves(HekiCommand.MAP, leaves)).toBe(0);
    expect(lists.length).toBe(1);
  });

  test('give a huge range up when no page is to be had for it, instead of trying for every page', () => {
    const validFrames = [{ start: 0 as Gfn, end: (2 ** 30) as Gfn }];
    const { guest, protect, kernel, events } = start({ profile: 'rfc-v2', validFrames });
    protect();
    kernel.allowPages(0);
    const terabyte = { guestFrame: (2 ** 28) as Gfn, frames: 2 ** 28, ...rx };
    expect(guest.applyLeaves(HekiCommand.MAP, [terabyte])).toBe(0);
    expect(events.filter(({ type }) => type === 'range-dropped')).toEqual([
      { type: 'range-dropped', start: 2 ** 28, end: 2 ** 29, permissions: 5 },
    ]);
  });

  test('fail when their bytes cannot be stored', () => {
    const kernel = createTestKernel({ tables: smallKernel(), validFrames: ALL });
    const { guest, lists } = start({ kernel: { ...kernel, store: () => false } });
    guest.earlyInit();
    expect(guest.lateInit()).toEqual({ outcome: 'memory-refused', error: -14 });
    expect([lists.length, kernel.pagesInUse]).toEqual([0, 0]);
  });

  test.each([
    ['rfc-v2', true, 'self-deadlock'],
    ['hardened', false, 'page-list'],
  ] as const)('under %s are allocated with reclaim: %s (B-G13)', (profile, reclaims, last) => {
    const seen: boolean[] = [];
    const answers: number[] = [];
    const kernel = createTestKernel({
      tables: smallKernel(),
      validFrames: ALL,
      onAllocate(reclaim) {
        seen.push(reclaim);
        // What the kernel does to find memory: it lets go of vmalloc areas.
        if (reclaim) answers.push(guest.beginChange().unmap(VMALLOC, (VMALLOC + 1) as VirtualFrame));
      },
    });
    const events: GuestEvent[] = [];
    const guest = createHekiGuest({
      kernel,
      profile,
      hypervisor: { lockCrs: () => 0, protectMemory: () => 0 },
      onEvent: (event) => events.push(event),
    });
    guest.earlyInit();
    guest.lateInit();
    expect(seen).toEqual([reclaims]);
    // -EDEADLK: the kernel would wait for a lock that it holds.
    expect(answers).toEqual(reclaims ? [-35] : []);
    expect(events.filter(({ type }) => type === 'self-deadlock' || type === 'page-list')[0]?.type).toBe(last);
  });
});

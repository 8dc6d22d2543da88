import type { Gfn, VirtualFrame } from '@heki/physical-memory';
import { defectSwitches } from '@heki/series';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createHekiGuest, guestDefects, HekiCommand, type NamedLeaf } from '../index.ts';
import { at, GuestTables, type Letters } from '../testing/guest-tables.ts';
import { type ModelListPage, PageModel } from '../testing/page-model.ts';
import { readRawList } from '../testing/raw-list.ts';
import { createTestKernel } from '../testing/test-kernel.ts';
import { walkByPage } from '../testing/walk-by-page.ts';

const FRAMES = 3072;
const DIRECT_MAP = at('ffff888000000000');
const DIRECT_MAP_END = at('ffffc88000000000');
const VMALLOC = at('ffffc90000000000');

/** As the hooks say it that come before a change. */
const EARLY = { early: true };

const letters = fc.constantFrom<Letters>('r--', 'r-x', 'rw-', 'rwx');
const vmap = fc.oneof(
  fc.record({
    size: fc.constant('4K' as const),
    at: fc.nat(600),
    frame: fc.nat(FRAMES - 5),
    count: fc.integer({ min: 1, max: 5 }),
    letters,
  }),
  fc.record({
    size: fc.constant('2M' as const),
    at: fc.integer({ min: 2, max: 4 }).map((n) => n * 512),
    frame: fc.nat(5).map((n) => n * 512),
    count: fc.constant(1),
    letters,
  }),
);
/** Ranges of vmalloc space and of the direct map that cut leaves. */
const range = fc
  .tuple(fc.constantFrom(VMALLOC, DIRECT_MAP), fc.nat(2600), fc.integer({ min: 0, max: 700 }))
  .map(([base, start, length]) => ({
    start: (base + start) as VirtualFrame,
    end: (base + start + length) as VirtualFrame,
  }));
const step = fc.oneof(
  fc.record({ kind: fc.constant('vmap' as const), vmap }),
  fc.record({ kind: fc.constant('vunmap' as const), start: fc.nat(600), length: fc.nat(40) }),
  fc.record({ kind: fc.constant('update' as const), range, set: fc.nat(7), clear: fc.nat(7) }),
  fc.record({ kind: fc.constant('poke' as const), frame: fc.nat(FRAMES - 2), pages: fc.constantFrom(1, 2) }),
  fc.record({ kind: fc.constant('unmap' as const), range }),
  fc.record({ kind: fc.constant('in-force' as const) }),
  fc.record({ kind: fc.constant('late-init' as const) }),
);

test('hooks over address ranges do what the core that looks up every page does', () => {
  fc.assert(
    fc.property(
      fc.constantFrom('rfc-v2' as const, 'hardened' as const),
      fc.array(vmap, { maxLength: 6 }),
      fc.array(step, { maxLength: 14 }),
      (profile, boot, steps) => {
        const defects = defectSwitches(guestDefects, profile);
        const tables = new GuestTables({ start: 2 ** 20 });
        tables.map(DIRECT_MAP, 0, 4, '2M', 'rw-');
        // Some pages are in the direct map no more: those of secretmem, for instance.
        tables.map(DIRECT_MAP + 2048, 2048, 300, '4K', 'r--');
        tables.map(DIRECT_MAP + 2400, 2400, 160, '4K', 'r--');
        tables.map(DIRECT_MAP + 2560, 2560, 1, '2M', 'r-x');
        const put = ({ size, at: offset, frame, count, letters: rights }: (typeof boot)[number]) =>
          tables.map(VMALLOC + offset, frame, count, size, rights);
        boot.forEach(put);

        const validFrames = [{ start: 0 as Gfn, end: FRAMES as Gfn }];
        const kernel = createTestKernel({ tables, validFrames });
        const lists: ModelListPage[][] = [];
        const protectMemory = (list: Parameters<typeof readRawList>[1]) => {
          lists.push(readRawList(kernel.listMemory, list));
          return 0;
        };
        const guest = createHekiGuest({ kernel, profile, hypervisor: { lockCrs: () => 0, protectMemory } });

        const expectedLists: (readonly ModelListPage[])[] = [];
        const model = new PageModel(defects, {
          isValid: () => true,
          allocate: () => true,
          protectMemory(list) {
            expectedLists.push(list);
            return 0;
          },
        });
        /** Mappings that a call over a range concerns: without B-G5, those of the direct map once they are counted. */
        const concerned = function* (start: number, end: number): Generator<NamedLeaf> {
          const skip = !defects['B-G5'] && !model.directMapCounted;
          yield* walkByPage(tables, start, skip ? Math.min(end, DIRECT_MAP) : end);
          if (skip) yield* walkByPage(tables, Math.max(start, DIRECT_MAP + FRAMES), end);
        };

        expect(guest.earlyInit().outcome).toBe('counting');
        // Only these parts of the kernel half have mappings.
        model.apply(HekiCommand.MAP, walkByPage(tables, VMALLOC, VMALLOC + 4096));
        for (const now of steps) {
          if (now.kind === 'vmap') {
            put(now.vmap);
            const start = (VMALLOC + now.vmap.at) as VirtualFrame;
            const end = (start + now.vmap.count * (now.vmap.size === '2M' ? 512 : 1)) as VirtualFrame;
            expect(guest.map(start, end)).toBe(model.apply(HekiCommand.MAP, concerned(start, end)));
          } else if (now.kind === 'vunmap') {
            const start = (VMALLOC + now.start) as VirtualFrame;
            const end = (start + now.length) as VirtualFrame;
            expect(guest.beginChange().unmap(start, end)).toBe(
              model.apply(HekiCommand.UNMAP, concerned(start, end), EARLY),
            );
            tables.unmap(start, now.length, '4K');
          } else if (now.kind === 'update') {
            const { start, end } = now.range;
            const { set, clear } = now;
            expect(guest.beginChange().update(start, end, set, clear)).toBe(
              model.apply(HekiCommand.UPDATE, concerned(start, end), { set, clear, early: true }),
            );
          } else if (now.kind === 'poke') {
            const frames = Array.from({ length: now.pages }, (_, index) => (now.frame + index) as Gfn);
            const leaves = frames.map((guestFrame) => ({ guestFrame, frames: 1, low: 3, high: 2 ** 31 }));
            guest.textPokeStart(frames);
            model.apply(HekiCommand.MAP, leaves);
            guest.textPokeEnd(frames);
            model.apply(HekiCommand.UNMAP, leaves);
          } else if (now.kind === 'unmap') {
            const { start, end } = now.range;
            guest.beginChange().unmap(start, end);
            model.apply(HekiCommand.UNMAP, concerned(start, end), EARLY);
          } else if (now.kind === 'in-force') {
            expect(guest.beginChange().inForce()).toBe(model.inForce());
          } else {
            expect(guest.lateInit()).toEqual({ outcome: 'protected' });
            const directMap = walkByPage(tables, DIRECT_MAP, DIRECT_MAP + 4096);
            model.apply(HekiCommand.PROTECT_MEMORY, directMap, { setGlobal: 8 }, !defects['B-G24']);
          }
          expect(lists).toEqual(expectedLists);
        }
        const counted: [number, unknown][] = [];
        for (let frame = 0; frame < FRAMES; frame++) {
          const counters = guest.counters(frame as Gfn);
          if (counters !== undefined) counted.push([frame, Object.values(counters)]);
        }
        expect(counted).toEqual([...model.counters].sort(([a], [b]) => a - b));
        expect(guest.directMap.start).toBe(DIRECT_MAP);
        expect(guest.directMap.end).toBe(profile === 'rfc-v2' ? DIRECT_MAP_END : DIRECT_MAP + FRAMES);
      },
    ),
    { numRuns: process.env.HEKI_FUZZ === 'long' ? 150 : 45 },
  );
}, 60_000);

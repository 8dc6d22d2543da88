import { type Gfn, gfn, type PhysicalMemory } from '@heki/physical-memory';
import { framesOfLevel, type Level, upperHalfStart, walkMappings } from '@heki/x86';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CannotMove, type Move, movedTo } from './move.ts';
import { moveTables } from './move-tables.ts';

const LEAF = 0x63;
const LARGE_LEAF = 0xe3;
const BASE = 2 ** 52 - 2 ** 36;
const ROOT = gfn(1);

/** Tables that are written by the virtual frames of leaves, one table page after the other from frame 1 on. */
function tablesOf(leaves: readonly { readonly at: number; readonly level: Level; readonly frame: number }[]) {
  const pages = new Map<number, Uint32Array>([[ROOT, new Uint32Array(1024)]]);
  let next = 2;
  for (const { at, level, frame } of leaves) {
    let table: number = ROOT;
    for (let depth: Level = 4; ; depth = (depth - 1) as Level) {
      const page = pages.get(table) ?? new Uint32Array();
      const slot = Math.floor(at / framesOfLevel(depth)) % 512;
      const low = page[2 * slot] ?? 0;
      if (depth === level) {
        if (low === 0) page[2 * slot] = frame * 4096 + (level === 1 ? LEAF : LARGE_LEAF);
        break;
      }
      // A leaf that was there first stays.
      if ((low & 0x80) !== 0) break;
      if (low === 0) {
        pages.set(next, new Uint32Array(1024));
        page[2 * slot] = next * 4096 + LEAF;
        next++;
      }
      table = Math.floor((page[2 * slot] ?? 0) / 4096);
    }
  }
  return { page: (frame: Gfn) => pages.get(frame), writablePage: () => undefined };
}

/** Every leaf as a line, by virtual frame. */
function listing(memory: PhysicalMemory<Gfn>, moves: readonly Move[] = []): string[] {
  const lines: string[] = [];
  walkMappings({ memory, root: ROOT, levels: 4 }, upperHalfStart(4), (2 ** 52) as never, (leaf) => {
    const { virtualFrame, guestFrame, level, low, high, effective } = leaf;
    lines.push([movedTo(moves, virtualFrame), guestFrame, level, low, high, effective].join(' '));
  });
  return lines.sort();
}

function over(memory: PhysicalMemory<Gfn>, contents: ReadonlyMap<Gfn, Uint32Array>): PhysicalMemory<Gfn> {
  return { ...memory, page: (frame) => contents.get(frame) ?? memory.page(frame) };
}

describe('moved tables', () => {
  const area = fc.integer({ min: 0, max: 5 });
  const leaf = fc.record({
    area,
    offset: fc.integer({ min: 0, max: 2 ** 18 - 1 }),
    level: fc.constantFrom<Level[]>(1, 1, 1, 2, 3),
    frame: fc.integer({ min: 100, max: 1000 }),
  });
  const plan = fc.record({
    leaves: fc.array(leaf, { maxLength: 12 }),
    // Each area of 1 GiB, in six slots of the root, goes to another GiB, by so many frames, pages or more.
    to: fc.uniqueArray(fc.integer({ min: 0, max: 20 }), { minLength: 6, maxLength: 6 }),
    shift: fc.constantFrom(0, 0, 0, 512, 1),
  });

  test('map what they mapped, where it was to go', () => {
    let moved = 0;
    fc.assert(
      fc.property(plan, ({ leaves, to, shift }) => {
        const start = (gib: number) => BASE + 2 ** 35 + 273 * 2 ** 27 + gib * 7 * 2 ** 18;
        const memory = tablesOf(
          leaves.map(({ area: at, offset, level, frame }) => ({
            at: start(at) + offset - (offset % framesOfLevel(level)),
            level,
            frame: frame - (frame % framesOfLevel(level)),
          })),
        );
        const moves = to.map((gib, index) => ({
          start: start(index),
          end: start(index) + 2 ** 18,
          to: start(gib + 6) + shift,
        }));
        try {
          const contents = moveTables(memory, [{ frame: ROOT, levels: 4 }], moves);
          expect(listing(over(memory, contents))).toEqual(listing(memory, moves));
          moved++;
        } catch (error) {
          // Some leaves cannot be moved so far, or more tables would be needed.
          if (!(error instanceof CannotMove)) throw error;
        }
      }),
      { numRuns: 500 },
    );
    expect(moved).toBeGreaterThan(100);
  });

  test('are told apart from a leaf across the edge of a move', () => {
    const at = BASE + 2 ** 35;
    const memory = tablesOf([{ at, level: 2, frame: 512 }]);
    const halfOf = [{ start: at + 256, end: at + 512, to: at + 2 ** 20 }];
    expect(() => moveTables(memory, [{ frame: ROOT, levels: 4 }], halfOf)).toThrow(
      'a leaf lies across the edge',
    );
    const byPage = [{ start: at, end: at + 512, to: at + 513 }];
    expect(() => moveTables(memory, [{ frame: ROOT, levels: 4 }], byPage)).toThrow(
      'a leaf lies across the edge',
    );
  });

  test('do not come to lie on what is there', () => {
    const [at, there] = [BASE + 2 ** 35, BASE + 2 ** 35 + 2 ** 27];
    const memory = tablesOf([
      { at, level: 1, frame: 100 },
      { at: there, level: 1, frame: 200 },
    ]);
    const onto = [{ start: at, end: at + 1, to: there }];
    expect(() => moveTables(memory, [{ frame: ROOT, levels: 4 }], onto)).toThrow('a place is taken');
  });

  test('lose the tables with nothing in them', () => {
    const at = BASE + 2 ** 35;
    const memory = tablesOf([{ at, level: 1, frame: 100 }]);
    // The page table loses its leaf, and with it the two tables above have nothing either.
    memory.page(gfn(4))?.fill(0);
    const contents = moveTables(memory, [{ frame: ROOT, levels: 4 }], []);
    expect(contents.get(ROOT)?.every((word) => word === 0)).toBe(true);
  });
});

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodeMemory, memoryRun } from '../memory/memory-data.ts';
import { decodeMemory, worstClass } from '../memory/memory-model.ts';
import { classesOfCells, markedCells } from './cells.ts';
import {
  cellFramesAt,
  cellWith,
  framesOf,
  gridOf,
  neighbour,
  viewAround,
  viewOf,
  wholeView,
} from './map-view.ts';

const frames = fc.integer({ min: 1, max: 2 ** 22 });
const view = fc
  .record({ ram: frames, beyond: fc.nat(2 ** 24), at: fc.nat(2 ** 22), zoom: fc.nat(12) })
  .map(({ ram, beyond, at, zoom }) => {
    const whole = wholeView(ram, ram + beyond);
    return viewAround(whole, at % 4 ** whole.order, whole.scale - zoom);
  });

describe('a view of the map', () => {
  test('has every frame in one cell, and finds it there again', () => {
    fc.assert(
      fc.property(view, fc.nat(), (square, some) => {
        const grid = gridOf(square);
        const { start, end } = framesOf(square);
        const frame = start + (some % (end - start));
        const cell = cellWith(grid, frame);
        if (cell === undefined) throw new Error('the view lacks a frame of its own');
        const range = cellFramesAt(grid, cell);
        expect(range.start <= frame && frame < range.end).toBe(true);
        const index = Math.floor((frame - start) / grid.cellFrames);
        expect(grid.positions[index]).toBe(cell.x + grid.side * cell.y);
        expect(new Set(grid.positions).size).toBe(grid.side ** 2);
      }),
      { numRuns: 30 },
    );
  });

  test('moves from a cell to those beside it and back, over its edge too, and no further than the map', () => {
    fc.assert(
      fc.property(view, fc.nat(), fc.constantFrom([1, 0], [0, 1], [-1, 0], [0, -1]), (square, some, step) => {
        const [right = 0, down = 0] = step;
        const grid = gridOf(square);
        const frame = framesOf(square).start + (some % 4 ** square.scale);
        const to = neighbour(grid, frame, right, down);
        if (to === undefined) return;
        const back = neighbour(gridOf(viewAround(square, to.start, square.scale)), to.start, -right, -down);
        expect(back !== undefined && back.start <= frame && frame < back.end).toBe(true);
      }),
      { numRuns: 25 },
    );
    const whole = gridOf(wholeView(64, 64));
    expect(neighbour(whole, 0, -1, 0)).toBeUndefined();
    expect(neighbour(whole, 0, 0, -1)).toBeUndefined();
  });

  test('of a range has all of it, and no smaller one does', () => {
    fc.assert(
      fc.property(view, fc.nat(2 ** 20), fc.integer({ min: 1, max: 5000 }), (square, from, length) => {
        const range = { start: from % 4 ** square.order, end: (from % 4 ** square.order) + length };
        fc.pre(range.end <= 4 ** square.order);
        const found = viewOf(square, range);
        expect(framesOf(found).start <= range.start && range.end <= framesOf(found).end).toBe(true);
        const smaller = framesOf(viewAround(found, range.start, found.scale - 1));
        if (found.scale > 3) expect(smaller.end < range.end).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  test('colours each cell by the worst of its frames, and marks those with frames of a finding', () => {
    const run = fc.record({
      gap: fc.nat(40),
      length: fc.integer({ min: 1, max: 60 }),
      rights: fc.constantFrom('r--', 'rw-', 'r-x', 'rwx'),
    });
    fc.assert(
      fc.property(fc.array(run, { maxLength: 20 }), fc.integer({ min: 3, max: 9 }), (parts, scale) => {
        let last = 0;
        const runs = parts.map(({ gap, length, rights }) => {
          const start = last + gap;
          last = start + length;
          return memoryRun({ start, end: last, rights, places: [], distances: [], unlisted: 0 });
        });
        const model = decodeMemory(encodeMemory({ ram: [{ start: 5, end: 90 }], runs, grants: [] }));
        const grid = gridOf(viewAround(wholeView(4 ** 9, 4 ** 9), 0, scale));
        const cells = classesOfCells(grid, model, model);
        const marks = markedCells(grid, runs);
        for (let at = 0; at < Math.min(cells.length, 400); at++) {
          const range = cellFramesAt(grid, { x: at % grid.side, y: Math.floor(at / grid.side) });
          expect(cells[at]).toBe(worstClass(model, range));
          const isMarked = runs.some(({ start, end }) => start < range.end && range.start < end);
          expect(marks[at]).toBe(isMarked ? 1 : 0);
        }
      }),
      { numRuns: 15 },
    );
  });
});

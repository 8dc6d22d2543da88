import { FRAME_END } from '@heki/physical-memory';
import { describe, expect, test } from 'vitest';
import { CHUNK_CAPACITY } from './chunk.ts';
import { ExtentMap } from './extent-map.ts';

/** So many frames that their boundaries fill more chunks than the map begins with room for. */
const FRAMES = 24 * CHUNK_CAPACITY;

/** Numbers that look random, the same in every run. */
function createRandom(): (below: number) => number {
  let state = 12345;
  return (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** A map with a boundary at every frame, and the same as an array. */
function createPair(): { readonly map: ExtentMap; readonly codes: Uint8Array } {
  const map = new ExtentMap();
  const codes = Uint8Array.from({ length: FRAMES }, (_, frame) => 1 + (frame % 3));
  for (const [frame, code] of codes.entries()) map.update(frame, frame + 1, () => code);
  return { map, codes };
}

/** Each extent is as long as its code goes on, and they have the codes of the array. */
function expectEqual(map: ExtentMap, codes: Uint8Array): void {
  const extents: [code: number, start: number, end: number][] = [];
  map.some(0, FRAME_END, (...extent) => extents.push(extent) < 0, true);
  const expected: [code: number, start: number, end: number][] = [];
  for (const [frame, code] of [...codes, 0].entries()) {
    const last = expected.at(-1);
    if (last?.[0] === code) last[2] = frame + 1;
    else expected.push([code, frame, frame + 1]);
  }
  const last = expected.at(-1);
  if (last !== undefined) last[2] = FRAME_END;
  expect(extents).toEqual(expected);
}

/** What the map says of one frame: its code and its extent. */
function expectEqualAt(map: ExtentMap, codes: Uint8Array, frame: number): void {
  const code = codes[frame] ?? 0;
  let [start, end] = [frame, frame + 1];
  while (start > 0 && codes[start - 1] === code) start--;
  while (end < FRAMES && codes[end] === code) end++;
  if (end === FRAMES && code === 0) end = FRAME_END;
  if (map.get(frame) === code && map.startOf(frame) === start && map.endOf(frame) === end) return;
  const found = { code: map.get(frame), start: map.startOf(frame), end: map.endOf(frame) };
  expect(found, `frame ${frame}`).toEqual({ code, start, end });
}

describe('a map of many chunks', () => {
  test('has after one change after another what an array has, at whatever edge of a chunk', () => {
    const random = createRandom();
    const { map, codes } = createPair();
    expectEqual(map, codes);
    for (let step = 0; step < 20_000; step++) {
      const start = random(FRAMES);
      const end = Math.min(FRAMES, start + 1 + random(random(8) === 0 ? 40 : 3));
      // Mostly what lies before or behind, so that extents join.
      const code = random(4) === 0 ? random(5) : (codes[random(2) === 0 ? start - 1 : end] ?? 0);
      map.update(start, end, () => code);
      codes.fill(code, start, end);
      for (const frame of [start - 1, start, end - 1, end]) {
        if (frame >= 0 && frame < FRAMES) expectEqualAt(map, codes, frame);
      }
      if (step % 2500 === 0) expectEqual(map, codes);
    }
    expectEqual(map, codes);
  });

  test('takes few ranges in ascending order as it takes many, and tells each its number', () => {
    const random = createRandom();
    const { map, codes } = createPair();
    for (const count of [1, 2, 5, 9, 16, 200, 1500]) {
      const starts = new Float64Array(count);
      const lengths = new Uint32Array(count);
      const room = Math.floor(FRAMES / count);
      for (let i = 0; i < count; i++) {
        starts[i] = i * room + random(room - 2);
        lengths[i] = 1 + random(Math.min(40, (i + 1) * room - (starts[i] ?? 0)));
      }
      map.updateAscending(starts, lengths, count, (code, from, to, index) => {
        expect(from).toBeGreaterThanOrEqual(starts[index] ?? 0);
        expect(to).toBeLessThanOrEqual((starts[index] ?? 0) + (lengths[index] ?? 0));
        return (code + index) % 5;
      });
      for (let i = 0; i < count; i++) {
        const start = starts[i] ?? 0;
        for (let frame = start; frame < start + (lengths[i] ?? 0); frame++) {
          codes[frame] = ((codes[frame] ?? 0) + i) % 5;
        }
      }
      expectEqual(map, codes);
    }
  });
});

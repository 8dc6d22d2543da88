import type { Gfn } from '@heki/physical-memory';
import { compare } from '@heki-internal/bench';
import { createAttributeStore } from './attribute-store.ts';

const EXTENTS = 10_000;
const SPACING = 26_214;
const store = createAttributeStore();
const byPage = new Map<number, number>();
for (let index = 0; index < EXTENTS; index++) {
  const start = index * SPACING;
  const length = 1 + ((index * 7919) % 40);
  store.update(start, start + length, 0x50, 0xf0);
  for (let frame = start; frame < start + length; frame++) byPage.set(frame, 0x50);
}
/** Frames all over 1 TiB, half of them with attributes. */
const frames = Float64Array.from({ length: 100_000 }, (_, index) => {
  const extent = (index * 40_503) % EXTENTS;
  return extent * SPACING + (index % 2 === 0 ? 0 : SPACING / 2);
});
const work = { count: frames.length, of: 'look-ups' };

await compare({
  title: `attribute look-up, ${EXTENTS} extents`,
  contenders: [
    {
      name: 'extents',
      work,
      run() {
        let sum = 0;
        for (const frame of frames) sum += store.get(frame as Gfn);
        return sum;
      },
    },
    {
      name: 'a Map of pages',
      work,
      run() {
        let sum = 0;
        for (const frame of frames) sum += byPage.get(frame) ?? 0;
        return sum;
      },
    },
  ],
});

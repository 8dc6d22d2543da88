import type { Gfn } from '@heki/physical-memory';
import { compare } from '@heki-internal/bench';
import { createMemoryTable } from './index.ts';
import { PageMap } from './testing/page-map.ts';

/** Frame numbers below `frames` in an order that is the same every time. */
function scattered(count: number, frames: number): Float64Array {
  let state = 1;
  return Float64Array.from({ length: count }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * frames);
  });
}

const FRAMES = 2 ** 24;
const increment = (value: number | undefined) => (value ?? 0) + 1;

const pages = scattered(100_000, FRAMES);
await compare({
  title: '100,000 scattered pages changed in 64 GiB',
  contenders: [
    {
      name: 'memory table',
      work: { count: pages.length, of: 'pages' },
      run: () => {
        const table = createMemoryTable<number>();
        for (const page of pages) table.update(page as Gfn, (page + 1) as Gfn, increment);
        return table;
      },
    },
    {
      name: 'a Map with every page',
      work: { count: pages.length, of: 'pages' },
      run: () => {
        const map = new PageMap<number>();
        for (const page of pages) map.update(page, page + 1, increment);
        return map;
      },
    },
  ],
});

const ranges = scattered(1000, FRAMES / 512);
await compare({
  title: '1,000 scattered 2-MiB ranges changed in 64 GiB',
  contenders: [
    {
      name: 'memory table',
      work: { count: ranges.length, of: 'ranges' },
      run: () => {
        const table = createMemoryTable<number>();
        for (const range of ranges) {
          table.update((range * 512) as Gfn, (range * 512 + 512) as Gfn, increment);
        }
        return table;
      },
    },
    {
      name: 'a Map with every page',
      work: { count: ranges.length, of: 'ranges' },
      run: () => {
        const map = new PageMap<number>();
        for (const range of ranges) map.update(range * 512, range * 512 + 512, increment);
        return map;
      },
    },
  ],
});

// 10,000 extents with a value, a gap behind each.
const table = createMemoryTable<number>();
const map = new PageMap<number>();
for (let extent = 0; extent < 10_000; extent++) {
  const start = extent * 100;
  table.set(start as Gfn, (start + 50) as Gfn, extent % 8);
  map.update(start, start + 50, () => extent % 8);
}
const asked = scattered(1_000_000, 1_000_000);
await compare({
  title: 'look-up at 10,000 extents',
  contenders: [
    {
      name: 'memory table, at random',
      work: { count: asked.length, of: 'look-ups' },
      run: () => {
        let sum = 0;
        for (const frame of asked) sum += table.get(frame as Gfn) ?? 0;
        return sum;
      },
    },
    {
      name: 'memory table, in order',
      work: { count: asked.length, of: 'look-ups' },
      run: () => {
        let sum = 0;
        for (let frame = 0; frame < asked.length; frame++) sum += table.get(frame as Gfn) ?? 0;
        return sum;
      },
    },
    {
      name: 'a Map with every page, at random',
      work: { count: asked.length, of: 'look-ups' },
      run: () => {
        let sum = 0;
        for (const frame of asked) sum += map.pages.get(frame) ?? 0;
        return sum;
      },
    },
  ],
});

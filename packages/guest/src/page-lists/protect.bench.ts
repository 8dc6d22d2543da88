import { compare } from '@heki-internal/bench';
import { readFixture } from '../testing/fixture.ts';
import {
  type KernelUnderTest,
  protectByExtents,
  protectByFlatPages,
  protectByPages,
} from '../testing/protect-kernel.ts';
import { createSyntheticGuest } from '../testing/synthetic-guest.ts';

// Early init and late init: both walks, the counters, and the whole page list stored.

/** Compares the core with page-by-page versions; the slowest of them, which has a Map, runs once when it is `slow`. */
async function compareWays(
  title: string,
  kernel: KernelUnderTest,
  leaves: number,
  options: { readonly slow?: boolean; readonly flat?: boolean } = {},
): Promise<Map<string, number>> {
  const { slow = false, flat = true } = options;
  const work = { count: leaves, of: 'leaves' };
  const ranges = protectByExtents(kernel, 'rfc-v2');
  const byMap = { name: 'page by page, a Map', run: () => protectByPages(kernel), work };
  const contenders = [
    { name: 'by extents, hardened', run: () => protectByExtents(kernel, 'hardened'), work },
    { name: 'by extents, rfc-v2', run: () => protectByExtents(kernel, 'rfc-v2'), work },
    ...(flat ? [{ name: 'page by page, flat arrays', run: () => protectByFlatPages(kernel), work }] : []),
    ...(slow ? [] : [byMap]),
  ];
  for (const { name, run } of contenders) {
    if (!name.includes('hardened') && run() !== ranges) throw new Error(`${name} sends other ranges`);
  }
  const medians = await compare({ title: `${title}: ${ranges} ranges`, contenders });
  if (slow) {
    const start = performance.now();
    byMap.run();
    const once = performance.now() - start;
    const ratio = once / (medians.get('by extents, hardened') ?? 1);
    console.log(`${byMap.name}, one run: ${(once / 1000).toFixed(1)} s, ${ratio.toFixed(0)} times the first`);
  }
  return medians;
}

const small = createSyntheticGuest({ gibibytes: 64, pages: 100_000 });
const inSmall = await compareWays('64 GiB, 100,000 scattered pages', small, small.leaves);
const large = createSyntheticGuest({ gibibytes: 1024, pages: 100_000, scatter: 64 });
const inLarge = await compareWays('the same mappings in 1 TiB', large, large.leaves, {
  slow: true,
  flat: false,
});
for (const [name, median] of inLarge) {
  console.log(`${name}: 1 TiB takes ${(median - (inSmall.get(name) ?? 0)).toFixed(1)} ms more than 64 GiB`);
}
const million = createSyntheticGuest({ gibibytes: 64, pages: 1_000_000 });
await compareWays('64 GiB, a million scattered pages', million, million.leaves, { slow: true });
for (const name of ['k61-4g-nokaslr', 'k61-2g-allmods']) {
  const fixture = readFixture(name);
  await compareWays(`${name}, a real kernel`, fixture, fixture.leaves);
}

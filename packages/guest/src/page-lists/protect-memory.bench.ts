import { spawnSync } from 'node:child_process';
import type { Gfn } from '@heki/physical-memory';
import { protectByExtents, protectByFlatPages, protectByPages } from '../testing/protect-kernel.ts';
import { createSyntheticGuest } from '../testing/synthetic-guest.ts';

// The most memory that early and late init take in a guest of 64 GiB with 100,000 scattered pages. Each way runs in a
// process of its own with a young generation of 1 MiB, so that little garbage is counted. Memory is looked at
// whenever a table page is read or a list page is asked for, and at the end, as V8's heap in use plus everything
// external to it (array buffers are part of that), over what it was after the guest was built and collected. The list
// pages count, although they are the guest's memory. What is measured includes garbage, so the true peak is lower.

const ways = ['hardened', 'rfc-v2', 'flat', 'map'] as const;

function inUse(): number {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

function measure(way: string): void {
  const { tables, validFrames } = createSyntheticGuest({ gibibytes: 64, pages: 100_000 });
  globalThis.gc?.();
  globalThis.gc?.();
  const baseline = inUse();
  let peak = baseline;
  const look = () => {
    peak = Math.max(peak, inUse());
  };
  const memory = {
    page(frame: Gfn) {
      look();
      return tables.memory.page(frame);
    },
    writablePage: (frame: Gfn) => tables.memory.writablePage(frame),
  };
  const kernel = { tables: { memory, root: tables.root, levels: tables.levels }, validFrames };
  if (way === 'map') protectByPages(kernel);
  else if (way === 'flat') protectByFlatPages(kernel);
  else protectByExtents(kernel, way === 'hardened' ? 'hardened' : 'rfc-v2', look);
  look();
  console.log(`${way.padEnd(10)} ${((peak - baseline) / 2 ** 20).toFixed(1)} MiB`);
}

const [, script = '', wanted] = process.argv;
if (wanted !== undefined) {
  measure(wanted);
} else {
  for (const way of ways) {
    const flags = ['--expose-gc', '--max-semi-space-size=1', '--semi-space-growth-factor=1'];
    spawnSync(process.execPath, [...flags, script, way], { stdio: 'inherit' });
  }
}

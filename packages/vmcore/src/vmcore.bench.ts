import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { frameOf, type Gfn } from '@heki/physical-memory';
import { compare } from '@heki-internal/bench';
import { openVmcore } from './node/open-vmcore.ts';
import { resolveKernelRoot } from './root/resolve-kernel-root.ts';
import { writeSparseCore } from './testing/sparse-core.ts';
import { readVmcore } from './vmcore.ts';

const packed = 'fixtures/k61-2g-allmods.elf.gz';
const bytes = gunzipSync(readFileSync(packed));
const plain = join(tmpdir(), `vmcore-bench-${process.pid}.elf`);
writeFileSync(plain, bytes);

await compare({
  title: 'open the page tables of a kernel with 761 modules',
  contenders: [
    { name: 'in memory', run: () => readVmcore(bytes) },
    { name: 'plain file', run: () => openVmcore(plain).close() },
    { name: 'gzip file', run: () => openVmcore(packed).close() },
  ],
});

const core = readVmcore(bytes);
const frames = core.segments.flatMap(({ start, end }) =>
  Array.from({ length: (end - start) / 4096 }, (_, i) => (frameOf(start) + i) as Gfn),
);
const byNumber = new Map(frames.map((frame) => [frame, core.memory.page(frame)]));
const file = openVmcore(plain);
const work = { count: frames.length * 1000, of: 'look-ups' };
const lookUp = (page: (frame: Gfn) => { readonly [word: number]: number } | undefined) => () => {
  let sum = 0;
  for (let turn = 0; turn < 1000; turn++) for (const frame of frames) sum += page(frame)?.[0] ?? 0;
  return sum;
};

await compare({
  title: `${frames.length} table pages, each looked up 1,000 times`,
  contenders: [
    { name: 'Map from frame to page', work, run: lookUp((frame) => byNumber.get(frame)) },
    { name: 'core in memory', work, run: lookUp((frame) => core.memory.page(frame)) },
    { name: 'core in a file', work, run: lookUp((frame) => file.memory.page(frame)) },
  ],
});

await compare({
  title: `${frames.length} table pages of a file, each read once`,
  contenders: [
    {
      name: 'open and read',
      work: { count: frames.length, of: 'pages' },
      run: () => {
        const opened = openVmcore(plain);
        for (const frame of frames) opened.memory.page(frame);
        opened.close();
      },
    },
  ],
});

await compare({
  title: `the root of a kernel with ${frames.length} table pages`,
  contenders: [
    { name: 'found and proven', work: { count: 1, of: 'roots' }, run: () => resolveKernelRoot(core).root },
  ],
});
file.close();
rmSync(plain);

const sparse = join(tmpdir(), `vmcore-bench-${process.pid}-sparse.elf`);
writeSparseCore(sparse, 64);
await compare({
  title: 'a guest of 64 GiB in a file with holes, its root named and proven',
  contenders: [
    {
      name: 'opened and proven',
      work: { count: 1, of: 'guests' },
      run: () => {
        const opened = openVmcore(sparse);
        resolveKernelRoot(opened);
        opened.close();
      },
    },
  ],
});
rmSync(sparse);

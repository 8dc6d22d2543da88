import {
  createFrameAllocator,
  createRam,
  type Gfn,
  gfn,
  type PhysicalMemory,
  type VirtualFrame,
} from '@heki/physical-memory';
import { compare } from '@heki-internal/bench';
import { createAddressSpace, entryBits } from '../address-space/address-space.ts';
import { EntryHigh, EntryLow } from '../entries/entry.ts';
import { readKernelTables } from '../testing/kernel-tables.ts';
import type { MappingWalkOptions } from './mapping-walk.ts';
import { mappings } from './mappings.ts';
import { walkMappings } from './walk-mappings.ts';

const END = (2 ** 52) as VirtualFrame;
const UPPER = (2 ** 51) as VirtualFrame;

/** Tables drawn by `draw` in 64 MiB of RAM. */
function draw(
  build: (map: (start: number, end: number, target: number) => void) => void,
): MappingWalkOptions {
  const range = { start: gfn(0), end: gfn(2 ** 14) };
  const memory = createRam<Gfn>({ ranges: [range] });
  const tables = createFrameAllocator<Gfn>({ ranges: [range] });
  const space = createAddressSpace({ memory, tables, levels: 4, largestLeaf: 2 });
  const bits = entryBits('P', 'RW', 'A', 'D', 'XD');
  build((start, end, target) => {
    space.map(
      (2 ** 52 - 2 ** 35 + start) as VirtualFrame,
      (2 ** 52 - 2 ** 35 + end) as VirtualFrame,
      target as Gfn,
      bits,
    );
  });
  return { memory: memory as PhysicalMemory<Gfn>, root: space.root, levels: 4 };
}

/** Leaves count where tables are full, slots where they are nearly empty. */
async function compareVersions(
  title: string,
  options: MappingWalkOptions,
  counted: 'leaves' | 'slots',
): Promise<void> {
  let executable = 0;
  const result = walkMappings(options, UPPER, END, () => {});
  const work = { count: counted === 'leaves' ? result.leaves : result.tables * 512, of: counted };
  const visit = (leaf: { readonly low: number; readonly high: number; readonly frames: number }) => {
    if ((leaf.high & EntryHigh.XD) === 0 && (leaf.low & EntryLow.RW) !== 0) executable += leaf.frames;
  };
  await compare({
    title: `${title}: ${result.leaves} leaves in ${result.tables} tables`,
    contenders: [
      {
        name: 'mappings, by the book',
        work,
        run: () => {
          for (const leaf of mappings(options, UPPER, END)) visit(leaf);
          return executable;
        },
      },
      { name: 'walkMappings', work, run: () => walkMappings(options, UPPER, END, visit) },
    ],
  });
}

await compareVersions(
  'full tables of 4-KiB pages',
  // An odd target keeps the pages small.
  draw((map) => map(0, 2 ** 20, 1)),
  'leaves',
);
await compareVersions(
  'a direct map of 1 TiB in 2-MiB pages',
  draw((map) => map(0, 2 ** 28, 0)),
  'leaves',
);
await compareVersions(
  'tables of 16 pages each',
  draw((map) => {
    for (let table = 0; table < 4096; table++) map(table * 512, table * 512 + 16, 1);
  }),
  'slots',
);
const kernel = readKernelTables('k61-2g-allmods');
const options = { memory: kernel.memory, root: Number(kernel.cr3 / 4096n) as Gfn, levels: 4 } as const;
await compareVersions('a real kernel', options, 'leaves');
await compareVersions('a real kernel', options, 'slots');

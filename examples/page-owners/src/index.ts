// Who owns which page of a machine with 4 GiB: a value for a million pages, in a handful of entries.
import { createMemoryTable } from '@heki/memory-table';
import { gfn } from '@heki/physical-memory';

const table = createMemoryTable<string>();
const show = (what: string): void => {
  const { extents, frames, entries } = table.statistics();
  const [small, large, huge] = entries;
  console.log(
    `${what}: ${frames} pages, extents: ${extents}, entries: ${huge} x 1G, ${large} x 2M, ${small} x 4K`,
  );
};

table.set(gfn(0), gfn(0x100000), 'guest');
show('all memory is one value');

table.set(gfn(0x1000), gfn(0x1e02), 'kernel text');
show('the text of a kernel splits it');

console.log(`frame 0x1abc: ${table.get(gfn(0x1abc))}; frame 0x200000: ${table.get(gfn(0x200000))}`);

table.update(gfn(0), gfn(0x100000), (owner) => (owner === 'kernel text' ? 'guest' : owner));
show('equal again, it merges');

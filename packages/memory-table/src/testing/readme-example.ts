import { createMemoryTable } from '@heki/memory-table';
import { gfn } from '@heki/physical-memory';

const table = createMemoryTable<string>();
const show = (what: unknown) => console.log(JSON.stringify(what));

table.set(gfn(0), gfn(0x40000), 'rw-'); // 1 GiB
show(table.find(gfn(0x1234)));

table.set(gfn(0x1234), gfn(0x1235), 'r-x'); // one page splits it
show(table.find(gfn(0x1235)));
show(table.statistics());

table.update(gfn(0), gfn(0x40000), (rights, start, end) => {
  console.log(`${start.toString(16)}-${end.toString(16)} ${rights}`);
  return 'r--'; // equal again, it merges
});
show(table.statistics());

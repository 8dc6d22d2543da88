import { createRam, type Gfn, type Gpa, gfn, gpa, type VirtualAddress } from '@heki/physical-memory';
import { compare } from '@heki-internal/bench';
import { decodePageList, encodePageList, forEachRange } from './page-list.ts';
import { PAGE_LIST_MAX_ENTRIES, writePageListEntry } from './page-list-layout.ts';

const PAGES = 600;
const RANGES = PAGES * PAGE_LIST_MAX_ENTRIES;
const memory = createRam<Gfn>({ ranges: [{ start: gfn(1), end: gfn(1 + PAGES) }] });
const frames = Array.from({ length: PAGES }, (_, i) => gfn(1 + i));
const ranges = Array.from({ length: RANGES }, (_, i) => ({
  start: gfn(i * 3),
  end: gfn(i * 3 + 2),
  permissions: 1 + (i % 15),
}));
const directMap = 0xffff_8880_0000_0000n as VirtualAddress;
const list = BigInt(encodePageList({ memory, frames, ranges, directMap }));
const page = new Uint32Array(1024);
const view = new DataView(page.buffer);
const work = { count: RANGES, of: 'entries' };

await compare({
  title: `write ${RANGES.toLocaleString('en')} entries`,
  contenders: [
    {
      name: 'DataView.setBigUint64',
      work,
      run: () => {
        for (let index = 0; index < RANGES; index++) {
          const at = 24 + (index % PAGE_LIST_MAX_ENTRIES) * 24;
          view.setBigUint64(at, BigInt(index) << 12n, true);
          view.setBigUint64(at + 8, BigInt(index + 1) << 12n, true);
          view.setBigUint64(at + 16, 5n, true);
        }
      },
    },
    {
      name: 'writePageListEntry',
      work,
      run: () => {
        for (let index = 0; index < RANGES; index++) {
          const pa = (index * 4096) as Gpa;
          writePageListEntry(page, index % PAGE_LIST_MAX_ENTRIES, pa, gpa(pa + 4096), 5);
        }
      },
    },
  ],
});

await compare({
  title: `${RANGES.toLocaleString('en')} ranges in ${PAGES} list pages`,
  contenders: [
    { name: 'encodePageList', work, run: () => encodePageList({ memory, frames, ranges, directMap }) },
    {
      name: 'decodePageList and visit',
      work,
      run: () => {
        const result = decodePageList({ memory, list });
        let sum = 0;
        if (result.ok) {
          forEachRange(result.pages, (start, end) => {
            sum += end - start;
          });
        }
        return sum;
      },
    },
  ],
});

import { encodePageList, type ProtectedRange } from '@heki/hypercall/kvm';
import type { Gfn, VirtualAddress } from '@heki/physical-memory';
import { compare } from '@heki-internal/bench';
import { createGuest, DIRECT_MAP, guestView, type TestGuest } from '../testing/guest.ts';
import { createPageByPage } from '../testing/page-by-page.ts';

const TERABYTE = 2 ** 28;
const NOTHING = {
  ranges: [],
  otherwise: { read: true, write: true, supervisorExecute: true, userExecute: true },
  cr0: 0n,
  cr4: 0n,
};

/** Ranges as a real kernel has them: stretches of 1 to 40 frames with r-x, r-- and rw- in turn, then rw- to the end. */
function kernelRanges(count: number): ProtectedRange[] {
  const ranges: ProtectedRange[] = [];
  let start = 0x1000;
  for (let index = 0; index < count - 1; index++) {
    const end = start + 1 + ((index * 7919) % 40);
    ranges.push({ start: start as Gfn, end: end as Gfn, permissions: [0xd, 0x9, 3][index % 3] ?? 3 });
    start = end;
  }
  ranges.push({ start: start as Gfn, end: TERABYTE as Gfn, permissions: 3 });
  return ranges;
}

function write(guest: TestGuest, ranges: readonly ProtectedRange[], at: number): bigint {
  const frames = Array.from({ length: Math.ceil(ranges.length / 169) }, (_, index) => (at + index) as Gfn);
  const memory = guestView(guest.ram, 0x10_0000 as never);
  return BigInt(encodePageList({ memory, frames, ranges, directMap: DIRECT_MAP as VirtualAddress }));
}

const guest = createGuest({ guestFrames: TERABYTE, deaf: true });
const few = kernelRanges(60);
const many = kernelRanges(2782);
const fewAt = write(guest, few, 0x60);
const manyAt = write(guest, many, 0x100);

function populate(): void {
  guest.vm.restore(NOTHING);
  guest.vm.preFault(0 as Gfn, TERABYTE as Gfn);
}

function protect(list: bigint): void {
  populate();
  if (guest.hypercall(14, list) !== 0) throw new Error('the list was refused');
}

populate();
const before = guest.vm.leafCounts();
await compare({
  title: 'protect 1 TiB that is mapped by 1 GiB leaves',
  contenders: [
    { name: 'map alone', run: populate },
    { name: 'map, hypercall 14 with 60 ranges', run: () => protect(fewAt) },
    { name: 'map, hypercall 14 with 2,782 ranges', run: () => protect(manyAt) },
  ],
});
protect(manyAt);
guest.vm.preFault(0 as Gfn, TERABYTE as Gfn);
console.log(
  'leaves before',
  before,
  'and after',
  guest.vm.leafCounts(),
  'extents',
  guest.vm.attributes.extents,
);

const mutable = few.map((range) => ({ ...range, permissions: range.permissions & 7 }));
const pages = createPageByPage(TERABYTE);
let turn = 0;
await compare({
  title: 'the attributes of 1 TiB, page by page',
  contenders: [
    {
      name: '60 ranges',
      run: () =>
        pages.protect(mutable.map((range) => ({ ...range, permissions: range.permissions ^ (turn++ & 2) }))),
    },
  ],
  time: 1,
});

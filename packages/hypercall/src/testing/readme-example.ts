import {
  decodePageList,
  encodePageList,
  forEachRange,
  KVM_ABI_REVISIONS,
  pageListFaultText,
  permissionText,
} from '@heki/hypercall/kvm';
import { createRam, type Gfn, gfn, type VirtualAddress } from '@heki/physical-memory';

const memory = createRam<Gfn>({ ranges: [{ start: gfn(0), end: gfn(16) }] });
const list = encodePageList({
  memory,
  frames: [gfn(8)],
  ranges: [
    { start: gfn(0x1000), end: gfn(0x1e02), permissions: 0b1101 },
    { start: gfn(0x2000), end: gfn(0x2827), permissions: 0b1001 },
  ],
  directMap: 0xffff888000000000n as VirtualAddress,
});
const good = decodePageList({ memory, list: BigInt(list) });
if (good.ok) {
  forEachRange(good.pages, (start, end, permissions) =>
    console.log(start.toString(16), end.toString(16), permissionText(permissions)),
  );
}
memory.writablePage(gfn(8))?.set([0x8000], 2); // the page is its own successor
const bad = decodePageList({ memory, list: BigInt(list) });
if (!bad.ok) console.log(pageListFaultText(bad.fault));
console.log(JSON.stringify(KVM_ABI_REVISIONS['heki-v2'].reusedUpstream.exits));

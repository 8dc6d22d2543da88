import {
  addressOf,
  createMountedMemory,
  createOverlay,
  createRam,
  type Gfn,
  gfn,
  gpa,
  type Pfn,
  pfn,
  readU64,
  type U64,
  writeU64,
} from '@heki/physical-memory';

const snapshot = createRam<Gfn>({ ranges: [{ start: gfn(0), end: gfn(0x10000) }] });
const guest = createOverlay({ base: snapshot });
writeU64(guest, gpa(0x1000), { low: 0x00000063, high: 0x80000000 });

const host = createMountedMemory<Pfn>({
  mounts: [{ start: pfn(0x100000), frames: 0x10000, memory: guest, from: gfn(0) }],
});
const frame = host.frameFor(guest, gfn(1)) as Pfn;
const show = (value: U64 | undefined) => `${value?.high.toString(16)}_${value?.low.toString(16)}`;
console.log(`host frame ${frame.toString(16)} has ${show(readU64(host, addressOf(frame)))}`);
console.log(`the snapshot below has ${show(readU64(snapshot, gpa(0x1000)))}`);
console.log(`behind its end: ${guest.page(gfn(0x10000))}`);

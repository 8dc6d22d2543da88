import { createFrameAllocator, createRam, gfn, hex, type Pfn, pfn } from '@heki/physical-memory';
import { createSecondLevelEditor, type SecondLevelFormat } from '@heki/second-level';

// Entries of stage 2 on arm64, 4-KiB granule (Arm ARM D8.3): bit 0 valid, bit 1 tells tables from blocks, bits 7:6 are rights.
const STAGE_2: SecondLevelFormat = {
  levels: 4,
  largestLeaf: 3,
  present: 1,
  leaf: { mask: 2, large: 0, small: 2 },
  accessedDirty: 1 << 10,
  table: { low: 3, high: 0 },
  absent: { low: 0, high: 0 },
  flushOnClear: { low: 0xffff_f0c3, high: 0xf_ffff },
  flushOnSet: { low: 0xffff_f002, high: 0xf_ffff },
};
const [READ, WRITE] = [1 << 6, 1 << 7];

const ranges = [{ start: pfn(0x100), end: pfn(0x200) }];
const memory = createRam<Pfn>({ ranges });
const editor = createSecondLevelEditor({ memory, frames: createFrameAllocator({ ranges }), format: STAGE_2 });
const show = (what: string) => {
  const { level, pfn: host } = editor.leaf(gfn(0x1234)) ?? {};
  console.log(`${what}: level ${level} to ${hex(host ?? 0)}, ${editor.tables} table pages`);
};

// A GiB of guest memory, to be read and written, lies in one leaf.
editor.map(gfn(0), gfn(0x40000), pfn(0x80000), { low: 1 | READ | WRITE, high: 0 });
show('mapped');

// One page loses a right: the leaf is split down to it, and its old translations must go from every processor.
const { flush } = editor.update(gfn(0x1234), gfn(0x1235), {
  clear: { low: WRITE, high: 0 },
  set: { low: 0, high: 0 },
});
show('protected');
console.log(`flush guest frames ${hex(flush?.start ?? 0)} to ${hex(flush?.end ?? 0)}`);

// It gets the right back: all entries agree again, and the tables go.
editor.update(gfn(0x1234), gfn(0x1235), { clear: { low: 0, high: 0 }, set: { low: WRITE, high: 0 } });
show('given back');

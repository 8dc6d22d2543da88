import { createHekiGuest } from '@heki/guest';
import { decodePageList, forEachRange, permissionText } from '@heki/hypercall/kvm';
import {
  createFrameAllocator,
  createRam,
  type Gfn,
  type Gpa,
  gfn,
  type VirtualAddress,
  virtualFrame,
  writeBytes,
} from '@heki/physical-memory';
import { createAddressSpace, entryBits } from '@heki/x86';

// A kernel in 64 MiB: its text, its data, and the direct map.
const ram = { start: gfn(0), end: gfn(0x4000) };
const memory = createRam<Gfn>({ ranges: [ram] });
const frames = createFrameAllocator({ ranges: [{ start: gfn(0x3000), end: ram.end }] });
const space = createAddressSpace({ memory, tables: frames, levels: 4 });
const directMap = virtualFrame(0xffff888000000);
const text = virtualFrame(0xffffffff81000);
const pages = (start: number, count: number) => virtualFrame(start + count);
space.map(directMap, pages(directMap, 0x4000), gfn(0), entryBits('P', 'RW', 'XD'));
space.map(pages(directMap, 0x1000), pages(directMap, 0x1200), gfn(0x1000), entryBits('P', 'XD'));
space.map(text, pages(text, 0x200), gfn(0x1000), entryBits('P'));
space.map(pages(text, 0x200), pages(text, 0x400), gfn(0x1200), entryBits('P', 'RW', 'XD'));

const guest = createHekiGuest({
  kernel: {
    memory,
    pageTableRoot: space.root,
    levels: 4,
    validFrames: [ram],
    directMap: { start: directMap, end: pages(directMap, 0x4000) },
    allocatePage() {
      const frame = frames.allocate();
      if (frame === undefined) return undefined;
      return { frame, address: (0xffff888000000000n + BigInt(frame) * 4096n) as VirtualAddress };
    },
    freePage: ({ frame }) => frames.free(frame),
    store: ({ frame }, offset, bytes) =>
      writeBytes(memory, (frame * 4096 + offset) as Gpa, bytes) === bytes.length,
  },
  hypervisor: {
    lockCrs: () => 0,
    protectMemory(list) {
      const decoded = decodePageList({ memory, list: BigInt(list) });
      if (!decoded.ok) return -22;
      forEachRange(decoded.pages, (start, end, permissions) =>
        console.log(`  ${start.toString(16)}-${end.toString(16)} ${permissionText(permissions)}`),
      );
      return 0;
    },
  },
  onEvent(event) {
    if (event.type === 'log') console.log(event.text);
  },
});

const show = (what: unknown) => console.log(JSON.stringify(what));
show(guest.earlyInit());
show(guest.lateInit());
show([guest.counters(gfn(0x1000)), guest.counters(gfn(0x1200))]);
console.log('a text poke:', guest.textPokeStart([gfn(0x1005)]), guest.textPokeEnd([gfn(0x1005)]));

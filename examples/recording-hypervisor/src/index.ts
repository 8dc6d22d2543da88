// What would Heki ask of a hypervisor to protect this kernel? Here the hypervisor only writes it down.
import { fileURLToPath } from 'node:url';
import { createHekiGuest, type HekiHypervisor } from '@heki/guest';
import { decodePageList, forEachRange, permissionText } from '@heki/hypercall/kvm';
import {
  createFrameAllocator,
  createMountedMemory,
  createRam,
  type Gpa,
  gfn,
  type VirtualAddress,
  writeBytes,
} from '@heki/physical-memory';
import { resolveKernelRoot } from '@heki/vmcore';
import { openVmcore } from '@heki/vmcore/node';

// A kernel: the page tables of a real one, and a little RAM of our own for its page lists.
const path = fileURLToPath(new URL('../../../fixtures/k61-256-nokaslr.elf.gz', import.meta.url));
const core = openVmcore(path);
const root = resolveKernelRoot(core);
const spare = { start: gfn(0x100000), end: gfn(0x100010) };
const memory = createMountedMemory({
  mounts: [
    { start: gfn(0), frames: 0x100000, memory: core.memory, from: gfn(0) },
    { start: spare.start, frames: 16, memory: createRam({ ranges: [spare] }), from: spare.start },
  ],
});
const frames = createFrameAllocator({ ranges: [spare] });

// The hypervisor: ten lines.
const asked = new Map<string, number>();
const hypervisor: HekiHypervisor = {
  lockCrs: () => 0,
  protectMemory(list) {
    const decoded = decodePageList({ memory, list: BigInt(list) });
    if (!decoded.ok) return -22;
    forEachRange(decoded.pages, (start, end, permissions) => {
      const rights = permissionText(permissions);
      asked.set(rights, (asked.get(rights) ?? 0) + end - start);
    });
    return 0;
  },
};

const guest = createHekiGuest({
  kernel: {
    memory,
    pageTableRoot: root.root,
    levels: root.levels,
    directMap: root.directMap,
    validFrames: [{ start: gfn(0), end: gfn(0xffe0) }],
    allocatePage() {
      const frame = frames.allocate();
      return frame === undefined
        ? undefined
        : { frame, address: (0xffff888000000000n + BigInt(frame) * 4096n) as VirtualAddress };
    },
    freePage: ({ frame }) => frames.free(frame),
    store: ({ frame }, offset, bytes) =>
      writeBytes(memory, (frame * 4096 + offset) as Gpa, bytes) === bytes.length,
  },
  hypervisor,
  onEvent(event) {
    if (event.type === 'log') console.log(event.text);
  },
});

const early = guest.earlyInit();
if (early.outcome === 'counting') console.log(`${early.leaves} mappings, counters for ${early.pages} pages`);
console.log(`late init: ${guest.lateInit().outcome}`);
for (const [rights, pages] of [...asked].sort()) console.log(`${rights}: ${pages} pages`);

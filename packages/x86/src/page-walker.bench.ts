import {
  createFrameAllocator,
  createRam,
  type Gfn,
  gfn,
  type Pfn,
  type PhysicalMemory,
  type VirtualAddress,
  type VirtualFrame,
} from '@heki/physical-memory';
import { compare } from '@heki-internal/bench';
import { AccessBits } from './access.ts';
import { createAddressSpace, entryBits } from './address-space.ts';
import { INTEL_VT_RP } from './cpu-profile.ts';
import { createPageWalker } from './create-page-walker.ts';
import { mappings } from './mappings.ts';
import { WalkOutcome } from './page-walker.ts';
import { pagingRegisters } from './registers.ts';
import type { SecondLevel } from './second-level.ts';
import { ByteSecondLevel } from './testing/byte-second-level.ts';
import { readKernelTables } from './testing/kernel-tables.ts';
import { translate } from './translate.ts';

const READ = { kind: 'read', mode: 'supervisor' } as const;
const READABLE_PART = 16;

/** `frames` in an order that has nothing to do with addresses. */
function shuffled(frames: readonly number[]): Float64Array {
  const order = Float64Array.from(frames);
  let state = 0x2545_f491;
  for (let i = order.length - 1; i > 0; i--) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    const j = state % (i + 1);
    const other = order[j] ?? 0;
    order[j] = order[i] ?? 0;
    order[i] = other;
  }
  return order;
}

async function compareWalks(
  title: string,
  memory: PhysicalMemory<Gfn>,
  cr3: bigint,
  frames: Float64Array,
  secondLevel?: SecondLevel,
): Promise<void> {
  const registers = pagingRegisters({ cr3 });
  const walker = createPageWalker({ memory, registers, ...(secondLevel && { secondLevel }) });
  const few = frames.subarray(0, Math.ceil(frames.length / READABLE_PART));
  await compare({
    title,
    contenders: [
      {
        name: `translate, by the book, a ${READABLE_PART}th of the pages`,
        work: { count: few.length, of: 'walks' },
        run: () => {
          for (const frame of few) {
            const va = (BigInt(frame) << 12n) as VirtualAddress;
            const { outcome } = translate(registers, memory, va, READ, INTEL_VT_RP, secondLevel);
            if (outcome.kind !== 'mapped') throw new Error(outcome.kind);
          }
        },
      },
      {
        name: 'page walker',
        work: { count: frames.length, of: 'walks' },
        run: () => {
          for (let i = 0; i < frames.length; i++) {
            const frame = (frames[i] ?? 0) as VirtualFrame;
            if (walker.walk(frame, 0, AccessBits.READ) !== WalkOutcome.MAPPED) throw new Error('not mapped');
          }
        },
      },
    ],
  });
}

const kernel = readKernelTables('k61-2g-allmods');
const kernelRoot = Number(kernel.cr3 / 4096n) as Gfn;
const kernelFrames: number[] = [];
const kernelWalk = { memory: kernel.memory, root: kernelRoot, levels: 4 } as const;
for (const leaf of mappings(kernelWalk, (2 ** 51) as VirtualFrame, (2 ** 52) as VirtualFrame)) {
  kernelFrames.push(leaf.virtualFrame);
}
await compareWalks(
  `one stage, the ${kernelFrames.length} mappings of a real kernel, in random order`,
  kernel.memory,
  kernel.cr3,
  shuffled(kernelFrames),
);

// 64 Ki guest pages at random guest frames; a second level of 4-KiB leaves, host frame = guest frame + 2^19.
const PAGES = 2 ** 16;
const BACKING = 2 ** 19;
const host = createRam<Pfn>({ ranges: [{ start: 0 as Pfn, end: (2 ** 20) as Pfn }] });
const guest: PhysicalMemory<Gfn> = {
  page: (frame) => host.page((frame + BACKING) as Pfn),
  writablePage: (frame) => host.writablePage((frame + BACKING) as Pfn),
};
const guestTables = createFrameAllocator<Gfn>({ ranges: [{ start: gfn(2 ** 17), end: gfn(2 ** 18) }] });
const first = createAddressSpace({ memory: guest, tables: guestTables, levels: 4 });
const targets = shuffled(Array.from({ length: PAGES }, (_, i) => i));
const kernelData = entryBits('P', 'RW', 'A', 'D');
for (let i = 0; i < PAGES; i++) {
  first.map(i as VirtualFrame, (i + 1) as VirtualFrame, (targets[i] ?? 0) as Gfn, kernelData);
}
const hostTables = createFrameAllocator<Gfn>({ ranges: [{ start: gfn(1), end: gfn(2 ** 18) }] });
const hostAsGuest = host as PhysicalMemory as PhysicalMemory<Gfn>;
const second = createAddressSpace({ memory: hostAsGuest, tables: hostTables, levels: 4, largestLeaf: 1 });
second.map(0 as VirtualFrame, (2 ** 18) as VirtualFrame, BACKING as Gfn, kernelData);
await compareWalks(
  'two dimensions, 4 x 4 levels, 65,536 random pages, flags preset',
  hostAsGuest,
  BigInt(first.root) << 12n,
  shuffled(Array.from({ length: PAGES }, (_, i) => i)),
  new ByteSecondLevel(host, second.root),
);

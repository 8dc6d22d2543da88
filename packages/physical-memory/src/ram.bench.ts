import { compare } from '@heki-internal/bench';
import { type Gfn, gfn, type Pfn, pfn } from './address.ts';
import { createMountedMemory } from './mounted-memory.ts';
import { createOverlay } from './overlay.ts';
import type { PhysicalMemory } from './physical-memory.ts';
import { createRam } from './ram.ts';

const FRAMES = 65_536;
const HOST_START = 0x100_000;
const ram = createRam<Gfn>({ ranges: [{ start: gfn(0), end: gfn(FRAMES) }] });
const byNumber = new Map<number, Uint32Array>();
for (let frame = 0; frame < FRAMES; frame++) {
  const page = ram.writablePage(gfn(frame));
  if (page !== undefined) byNumber.set(frame, page);
}
const map: PhysicalMemory<Gfn> = {
  page: (frame) => byNumber.get(frame),
  writablePage: (frame) => byNumber.get(frame),
};
const overlay = createOverlay({ base: ram });
const host = createMountedMemory<Pfn>({
  mounts: [
    {
      start: pfn(0),
      frames: 4096,
      memory: createRam<Pfn>({ ranges: [{ start: pfn(0), end: pfn(4096) }] }),
      from: pfn(0),
    },
    { start: pfn(HOST_START), frames: FRAMES, memory: ram, from: gfn(0) },
  ],
});

/** 115 frames, as many as a real kernel of 256 MiB has page tables, over and over. */
const walk = Float64Array.from({ length: FRAMES }, (_, i) => (((i * 7) % 115) * 40_503) % FRAMES);
const scattered = Float64Array.from({ length: FRAMES }, (_, i) => (i * 40_503) % FRAMES);
const work = { count: FRAMES, of: 'look-ups' };

function sum(memory: PhysicalMemory<Gfn>, frames: Float64Array): number {
  let total = 0;
  for (let i = 0; i < frames.length; i++) total += memory.page((frames[i] ?? 0) as Gfn)?.[0] ?? 0;
  return total;
}

function sumHost(frames: Float64Array): number {
  let total = 0;
  for (let i = 0; i < frames.length; i++) {
    total += host.page(((frames[i] ?? 0) + HOST_START) as Pfn)?.[0] ?? 0;
  }
  return total;
}

for (const [title, frames] of [
  ['65,536 look-ups in the 115 page tables of a kernel', walk],
  ['65,536 pages of 256 MiB of RAM in scattered order', scattered],
] as const) {
  await compare({
    title,
    contenders: [
      { name: 'Map from frame to page', work, run: () => sum(map, frames) },
      { name: 'sparse RAM', work, run: () => sum(ram, frames) },
      { name: 'overlay over sparse RAM', work, run: () => sum(overlay, frames) },
      { name: 'sparse RAM mounted in host memory', work, run: () => sumHost(frames) },
    ],
  });
}

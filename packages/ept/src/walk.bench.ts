import {
  createFrameAllocator,
  createRam,
  type Gfn,
  type Hpa,
  type Pfn,
  pfn,
  type VirtualAddress,
  type VirtualFrame,
  writeU64,
} from '@heki/physical-memory';
import type { SecondLevel } from '@heki/second-level';
import {
  AccessBits,
  createPageWalker,
  INTEL_VT_RP,
  pagingRegisters,
  translate,
  WalkOutcome,
} from '@heki/x86';
import { compare } from '@heki-internal/bench';
import { createEptEditor, eptLeaf } from './editor.ts';
import { EPT_RIGHTS } from './entry.ts';
import { createEpt } from './ept.ts';
import { encodeEptp } from './eptp.ts';

/** A guest of 1 GiB whose every frame EPT maps by a 4 KiB leaf, and 64 Ki pages at random frames of it. */
const GUEST_FRAMES = 2 ** 18;
const PAGES = 65_536;
const GUEST_TABLES = 0x100;
const FIRST = 0xffff_8880_0000_0000n as VirtualAddress;

/** A seeded order of 0 .. count - 1. */
function shuffled(count: number): Uint32Array {
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  let state = 0x2545_f491;
  for (let i = count - 1; i > 0; i--) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    const j = state % (i + 1);
    const other = order[j] ?? 0;
    order[j] = order[i] ?? 0;
    order[i] = other;
  }
  return order;
}

const host = createRam<Pfn>({ ranges: [{ start: pfn(0), end: pfn(2 ** 20) }] });
const frames = createFrameAllocator<Pfn>({ ranges: [{ start: pfn(2 ** 19), end: pfn(2 ** 20) }] });
const editor = createEptEditor({ memory: host, frames });
const hostFrames = shuffled(GUEST_FRAMES);
const bits = eptLeaf({ rights: EPT_RIGHTS, accessed: true, dirty: true });
for (let gfn = 0; gfn < GUEST_FRAMES; gfn++) {
  editor.installLeaf(gfn as Gfn, 1, (hostFrames[gfn] ?? 0) as Pfn, bits);
}

/** Stores a guest entry through EPT's own mapping: A and D are set. */
function setGuestEntry(table: number, index: number, frame: number): void {
  const address = (hostFrames[table] ?? 0) * 4096 + index * 8;
  writeU64<Pfn>(host, address as Hpa, { low: frame * 4096 + 0x67, high: 0 });
}
const pages = shuffled(GUEST_FRAMES - GUEST_TABLES - PAGES / 512 - 3).subarray(0, PAGES);
const [root, pdpt, pd, tables] = [
  GUEST_TABLES,
  GUEST_TABLES + 1,
  GUEST_TABLES + 2,
  GUEST_TABLES + 3,
] as const;
const index = (level: number): number => Number((FIRST >> BigInt(12 + 9 * (level - 1))) & 511n);
setGuestEntry(root, index(4), pdpt);
setGuestEntry(pdpt, index(3), pd);
pages.forEach((frame, page) => {
  if (page % 512 === 0) setGuestEntry(pd, page / 512, tables + page / 512);
  setGuestEntry(tables + Math.floor(page / 512), page % 512, frame + tables + PAGES / 512);
});

const eptp = encodeEptp({
  root: editor.root,
});
const registers = pagingRegisters({ cr3: BigInt(root) << 12n });
const ept = createEpt({ memory: host, eptp, controls: { modeBasedExecute: true } });
// The readable versions of both walks together.
const readable: SecondLevel = {
  fault: undefined,
  level: 0,
  rights: 0,
  translate: (gfn, offset, access) => {
    const walk = ept.explain(gfn, offset, access);
    return walk.allowed ? walk.pfn : -1;
  },
};
const walker = createPageWalker({ memory: host, registers, secondLevel: ept });
const firstFrame = Number(BigInt.asUintN(64, FIRST) >> 12n);
const order = shuffled(PAGES);
const READ_WRITE = AccessBits.READ | AccessBits.WRITE;

await compare({
  title: 'uncached two-dimensional walks, 4 x 4 levels, 4 KiB leaves, 64 Ki random pages',
  contenders: [
    {
      name: 'the readable walks',
      work: { count: 1024, of: 'walks' },
      run: () => {
        for (const page of order.subarray(0, 1024)) {
          const va = (BigInt(firstFrame + page) << 12n) as VirtualAddress;
          const access = { kind: 'read-modify-write', mode: 'supervisor' } as const;
          const { outcome } = translate(registers, host, va, access, INTEL_VT_RP, readable);
          if (outcome.kind !== 'mapped') throw new Error(outcome.kind);
        }
      },
    },
    {
      name: 'the fast walks',
      work: { count: PAGES, of: 'walks' },
      run: () => {
        for (const page of order) {
          const outcome = walker.walk((firstFrame + page) as VirtualFrame, 0x18, READ_WRITE);
          if (outcome !== WalkOutcome.MAPPED) throw new Error(`outcome ${outcome}`);
        }
      },
    },
  ],
});

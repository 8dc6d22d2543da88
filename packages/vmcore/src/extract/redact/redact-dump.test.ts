import {
  createFrameAllocator,
  type Gfn,
  gfn,
  PAGE_SIZE,
  type VirtualFrame,
  virtualAddressOf,
} from '@heki/physical-memory';
import {
  addressHigh,
  CR4,
  createAddressSpace,
  entryBits,
  entryFrame,
  HARDWARE_PRESENCE,
  PageRights,
  type PagingLevels,
  type PresencePolicy,
  upperHalfStart,
  walkMappings,
} from '@heki/x86';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import type { ProvenRoot } from '../../root/proven-root.ts';
import { resolveKernelRoot } from '../../root/resolve-kernel-root.ts';
import { buildCore, qemuNote, vmcoreinfoNote } from '../../testing/build-core.ts';
import { buildKernel, type KernelPlan } from '../../testing/built-kernel.ts';
import { fixtureNames, foreignNames, inflatedFixture } from '../../testing/fixtures.ts';
import { readVmcore, type Vmcore } from '../../vmcore.ts';
import { extractTables } from '../extract-tables.ts';

function redacted(core: Vmcore): Uint8Array {
  return Buffer.concat([...extractTables(core, { redact: true }).chunks()]);
}

/** Pages by what all mappings of a page in the kernel's half allow together. */
function rightsOf({ memory, root, levels }: ProvenRoot): Map<number, number> {
  const mapped: { readonly start: number; readonly end: number; readonly granted: number }[] = [];
  walkMappings({ memory, root, levels }, upperHalfStart(levels), (2 ** 52) as never, (leaf) => {
    const { guestFrame, frames, effective } = leaf;
    const granted = (effective & PageRights.WRITE) | (~effective & PageRights.EXECUTE_DISABLE);
    mapped.push({ start: guestFrame, end: guestFrame + frames, granted });
  });
  // Between two of the bounds all pages have the same mappings: a leaf of 1 GiB is one step, or a few.
  const bounds = Float64Array.from(new Set(mapped.flatMap(({ start, end }) => [start, end]))).sort();
  const indexOf = new Map([...bounds].map((bound, index) => [bound, index]));
  const rights: (number | undefined)[] = new Array(bounds.length).fill(undefined);
  for (const { start, end, granted } of mapped) {
    for (let index = indexOf.get(start) ?? 0; (bounds[index] ?? end) < end; index++) {
      rights[index] = (rights[index] ?? 0) | granted;
    }
  }
  const counts = new Map<number, number>();
  for (const [index, granted] of rights.entries()) {
    const pages = (bounds[index + 1] ?? 0) - (bounds[index] ?? 0);
    if (granted !== undefined) counts.set(granted, (counts.get(granted) ?? 0) + pages);
  }
  return counts;
}

/** Leaves that hold anything, present or not. */
const ANYTHING: PresencePolicy = {
  ...HARDWARE_PRESENCE,
  name: 'anything',
  present: [0, 0xffff_ffff, 0xffff_ffff, 1, 1, 1],
};

/** How far the image's entries are from their frames, which those that are not present have inverted. */
function distancesOf({ memory, root, levels, encryptionBit }: ProvenRoot): Set<number> {
  const distances = new Set<number>();
  const lastFrame = entryFrame(~0, ~0, addressHigh(encryptionBit));
  const start = (2 ** 52 - 2 ** 19) as VirtualFrame;
  const end = (start + 2 ** 18) as VirtualFrame;
  const walk = { memory, root, levels, encryptionBit, presence: ANYTHING };
  walkMappings(walk, start, end, ({ virtualFrame, guestFrame, low, frames }) => {
    distances.add(virtualFrame - ((low & 1) === 1 ? guestFrame : lastFrame - guestFrame - (frames - 1)));
  });
  return distances;
}

const ALL = [...fixtureNames, ...foreignNames];

describe.each(ALL)('%s, redacted', (name) => {
  const core = readVmcore(inflatedFixture(`${name}.elf.gz`));
  let bytes = new Uint8Array();
  let kernel: ProvenRoot;
  let after: ProvenRoot;
  beforeAll(() => {
    bytes = Uint8Array.from(redacted(core));
    kernel = resolveKernelRoot(core);
    after = resolveKernelRoot(readVmcore(bytes));
  });

  test('has a kernel that proves itself, with the rights that all pages had', () => {
    expect(rightsOf(after)).toEqual(rightsOf(kernel));
    expect(after.origin.name).toBe(kernel.origin.name);
  });

  test('has nothing where KASLR put it', () => {
    const wasMoved = kernel.directMap.start % 2 ** 27 !== 0;
    const firstSlot = Math.floor(after.directMap.start / 2 ** (after.levels === 4 ? 27 : 36)) % 512;
    expect([firstSlot, after.directMap.start % 2 ** 18]).toEqual([wasMoved ? 288 : 273, 0]);
    expect(virtualAddressOf(after.text.virtualFrame)).toBeLessThanOrEqual(0xffff_ffff_8100_0000n);
    // Where a direct map has leaves of 1 GiB, the GiB of the image is to be seen.
    expect(after.text.frame === 0x1000 || after.text.frame % 2 ** 18 === 0).toBe(true);
  });

  test('has no entry, present or not, that tells where the image was', () => {
    const before = distancesOf(kernel);
    expect(before.size).toBe(1);
    expect(distancesOf(after)).toEqual(new Set([after.text.virtualFrame - after.text.frame]));
  });

  test('has the stacks for 16-bit code at the start of their area', () => {
    const start = 2 ** 52 - 2 ** 28;
    const gibs = new Set<number>();
    const walk = { ...after, sharedTables: 'each' } as const;
    walkMappings(walk, start as VirtualFrame, (start + 2 ** 27) as VirtualFrame, ({ virtualFrame }) => {
      gibs.add(Math.floor((virtualFrame - start) / 2 ** 18));
    });
    expect([[], [0, 1, 2, 3]]).toContainEqual([...gibs]);
  });

  test('is the same when it is redacted again', () => {
    expect(Buffer.compare(redacted(readVmcore(bytes)), bytes)).toBe(0);
  });

  test('tells no release, build or general register', () => {
    const { notes, cpus, threads, vmcoreinfo } = readVmcore(bytes);
    for (const { registers, segments, cr2, kernelGsBase } of cpus) {
      const { rflags, ...general } = registers;
      expect(new Set(Object.values(general))).toEqual(new Set([0n]));
      expect(new Set(Object.values(segments).map(({ base }) => base))).toEqual(new Set([0n]));
      expect([cr2, kernelGsBase ?? 0n]).toEqual([0n, 0n]);
      expect(rflags & ~0x4_0202n).toBe(0n);
    }
    expect(threads.map(({ pid }) => pid)).toEqual(threads.map((_, index) => index + 1));
    for (const { registers } of threads) {
      const { cs, ss, rflags, ...general } = registers;
      expect(new Set(Object.values(general))).toEqual(new Set([0n]));
    }
    const known = ['_stext', 'init_uts_ns', 'swapper_pg_dir'].map((symbol) => `SYMBOL(${symbol})`);
    for (const key of vmcoreinfo?.values.keys() ?? []) {
      expect([...known, 'NUMBER(phys_base)', 'NUMBER(pgtable_l5_enabled)', 'NUMBER(sme_mask)']).toContain(
        key,
      );
    }
    expect(new Set(notes.map((note) => note.name))).toEqual(new Set(core.notes.map((note) => note.name)));
    expect(cpus.map(({ cr0, cr4, segments }) => [cr0, cr4, segments.cs.selector])).toEqual(
      core.cpus.map(({ cr0, cr4, segments }) => [cr0, cr4, segments.cs.selector]),
    );
  });
});

describe('the entry areas of several CPUs', () => {
  /** What is still to be seen of a kernel with entry areas of 20 pages at so many pages from the start of their 512 GiB. */
  function remainsOf(...areas: readonly number[]): string[] {
    const plan = { levels: 4, ramFrames: 0x3000, directMapGib: 0x2222, largestLeaf: 2, textAt: 8 } as const;
    const { memory, kernelRoots } = buildKernel({ ...plan, vmalloc: [] });
    const tables = createFrameAllocator<Gfn>({ ranges: [{ start: gfn(0x900), end: gfn(0xa00) }] });
    const space = createAddressSpace({ memory, tables, levels: 4, root: kernelRoots.swapper });
    const start = 2 ** 52 - 2 ** 29;
    for (const area of areas) {
      const at = (start + area) as VirtualFrame;
      space.map(at, (at + 20) as VirtualFrame, gfn(0x800), entryBits('P', 'A', 'XD'));
    }
    const notes = [qemuNote({ cr3: BigInt(kernelRoots.swapper * PAGE_SIZE) })];
    const core = { ...readVmcore(buildCore({ notes })), memory };
    return (extractTables(core, { redact: true }).redaction?.remains ?? []).map(({ subject }) => subject);
  }

  test('lie in an order that is still to be seen where KASLR strews them', () => {
    expect(remainsOf(0, 0x1793c67, 0x3333)).toContain('entry-area-order');
  });

  test('tell nothing one after the other, or where there is one', () => {
    expect(remainsOf(0, 60, 120, 180)).not.toContain('entry-area-order');
    expect(remainsOf(0, 0x1793c67)).not.toContain('entry-area-order');
  });
});

describe('what KASLR chose', () => {
  /** A dump of a kernel as KASLR may place it, and what its redaction maps. */
  function mapsOf(plan: KernelPlan): string {
    const kernel = buildKernel(plan);
    const image = virtualAddressOf(kernel.text);
    const physBase = BigInt(kernel.textFrame * PAGE_SIZE) - (image - 0xffff_ffff_8000_0000n);
    const cr4 = CR4.PAE | (plan.levels === 5 ? CR4.LA57 : 0n);
    const info = [
      `SYMBOL(_stext)=${image.toString(16)}`,
      `NUMBER(phys_base)=${physBase}`,
      `NUMBER(pgtable_l5_enabled)=${plan.levels - 4}`,
      `NUMBER(VMALLOC_START)=${virtualAddressOf(kernel.directMap)}`,
    ];
    const notes = [
      qemuNote({ cr3: BigInt(kernel.kernelRoots.process * PAGE_SIZE), cr4 }),
      vmcoreinfoNote(info.join('\n')),
    ];
    const core = { ...readVmcore(buildCore({ notes })), memory: kernel.memory };
    const small = readVmcore(redacted(core));
    const found = resolveKernelRoot(small);
    const lines = [
      new TextDecoder().decode(small.notes.at(-1)?.descriptor),
      found.because.replace(/ with .*/, ''),
    ];
    walkMappings(found, upperHalfStart(plan.levels), (2 ** 52) as never, (leaf) => {
      const { virtualFrame, guestFrame, frames, low, effective } = leaf;
      lines.push([virtualFrame, guestFrame, frames, low % 4096, effective].join(' '));
    });
    return lines.join('\n');
  }

  test('plays no part in what a redacted dump shows', () => {
    const ramFrames = 0x6000;
    const place = fc.record({
      directMapGib: fc.integer({ min: 0x2201, max: 0x6000 }),
      textAt: fc.integer({ min: 8, max: 30 }),
    });
    fc.assert(
      fc.property(
        fc.constantFrom<PagingLevels[]>(4, 5),
        fc.uniqueArray(fc.integer({ min: 0x4800, max: 0x5000 }), { maxLength: 8 }),
        fc.constantFrom(1 as const, 2 as const),
        place,
        place,
        (levels, vmalloc, largestLeaf, one, other) => {
          // With five levels the regions start at another GiB.
          const first = levels === 4 ? 0 : 0x44_0000 - 0x2200;
          const at = ({ directMapGib, textAt }: typeof one): string =>
            mapsOf({ levels, ramFrames, vmalloc, largestLeaf, textAt, directMapGib: directMapGib + first });
          expect(at(one)).toBe(at(other));
        },
      ),
      { numRuns: 6 },
    );
  });
});

describe('what cannot be redacted is refused', () => {
  test('without a root that proves to be the kernel’s', () => {
    const root = new Uint8Array(PAGE_SIZE).fill(0);
    const core = readVmcore(
      buildCore({ loads: [{ address: 0x1000, bytes: root }], notes: [qemuNote({ cr3: 0x1000n })] }),
    );
    expect(() => redacted(core)).toThrow('no page table of the dump proves to be its kernel');
  });

  test('when a table that would have to change is used in two places', () => {
    const kernel = buildKernel({
      levels: 4,
      ramFrames: 0x4000,
      directMapGib: 0x3333,
      largestLeaf: 1,
      textAt: 20,
      vmalloc: [],
    });
    // Another slot of the root leads to the direct map's PDPT: where that is to be taken apart, both would change.
    const root = kernel.memory.writablePage(kernel.kernelRoots.swapper as Gfn);
    const slot = Math.floor(kernel.directMap / 2 ** 27) % 512;
    root?.copyWithin(2 * (slot + 40), 2 * slot, 2 * slot + 2);
    const notes = [qemuNote({ cr3: BigInt(kernel.kernelRoots.swapper * PAGE_SIZE) })];
    const core = { ...readVmcore(buildCore({ notes })), memory: kernel.memory };
    expect(() => redacted(core)).toThrow(
      'cannot be redacted: memory is mapped as in the direct map elsewhere, too',
    );
  });

  test('together with user mappings', () => {
    const core = readVmcore(inflatedFixture('k61-256-nokaslr.elf.gz'));
    expect(() => extractTables(core, { redact: true, user: true })).toThrow(
      "the user's half cannot be redacted",
    );
  });
});

import {
  createFrameAllocator,
  createRam,
  type Gfn,
  type Pfn,
  type PhysicalMemory,
  pfn,
} from '@heki/physical-memory';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createSecondLevelEditor, SecondLevelEditorError, type SecondLevelFormat } from './index.ts';

/**
 * Stage 2 of arm64 with the 4-KiB granule (Arm ARM D8.3): bit 0 makes a descriptor valid, bit 1 tells tables (1) from
 * blocks (0), and a page of the last level has it set. Rights are S2AP, bits 7:6; AF is bit 10.
 */
const ARM64: SecondLevelFormat = {
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
/** Ordinary x86 entries: bit 7 makes leaves above level 1, and is clear in all other entries. */
const X86: SecondLevelFormat = {
  ...ARM64,
  leaf: { mask: 0x80, large: 0x80, small: 0 },
  accessedDirty: 0x60,
  table: { low: 7, high: 0 },
  flushOnClear: { low: 0xffff_f0e7, high: 0xf_ffff },
  flushOnSet: { low: 0xffff_f080, high: 0xf_ffff },
};
/** Rights to use in leaves, and what an entry of each kind looks like by the manuals. */
const FORMATS = [
  {
    name: 'arm64 stage 2',
    format: ARM64,
    rights: [0x41, 0xc1],
    mask: 0xc1,
    isTable: (low: number, level: number) => level > 1 && (low & 3) === 3,
    isLeaf: (low: number, level: number) => (low & 3) === (level > 1 ? 1 : 3),
  },
  {
    name: 'x86',
    format: X86,
    rights: [1, 3],
    mask: 3,
    isTable: (low: number, level: number) => level > 1 && (low & 0x81) === 1,
    isLeaf: (low: number, level: number) => (low & 0x81) === (level > 1 ? 0x81 : 1),
  },
] as const;

const TABLES = 0x100_0000;
/** Where tables of levels 1, 2 and 3 meet, and distances from there at which ranges begin and end. */
const CORNER = 2 ** 18;
const STEPS = [0, 1, 511, 512, 513, 2 ** 18 - 1, 2 ** 18];
const SAMPLES = [...new Set(STEPS.flatMap((step) => [CORNER - step, CORNER + step, CORNER + step - 1]))];
const boundary = fc.constantFrom(...STEPS.flatMap((step) => [CORNER - step, CORNER + step]));
const operation = fc.record({
  kind: fc.constantFrom('map' as const, 'map' as const, 'unmap' as const, 'rights' as const),
  range: fc.tuple(boundary, boundary).map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const),
  rights: fc.nat(1),
  shift: fc.constantFrom(0, 0, 512, 2 ** 18),
});

/** What the bytes of the tables map `gfn` to, found entry by entry. */
function lookUp(
  memory: PhysicalMemory<Pfn>,
  root: Pfn,
  gfn: number,
  kind: (typeof FORMATS)[number],
): { readonly pfn: number; readonly rights: number } | undefined {
  let table: number = root;
  for (let level = 4; level > 0; level--) {
    const page = memory.page(table as Pfn);
    const slot = Math.floor(gfn / 512 ** (level - 1)) % 512;
    const low = page?.[2 * slot] ?? 0;
    const frame = Math.floor(low / 4096) + ((page?.[2 * slot + 1] ?? 0) % 2 ** 20) * 2 ** 20;
    if (kind.isTable(low, level)) {
      table = frame;
      continue;
    }
    if (!kind.isLeaf(low, level)) {
      expect(low).toBe(0);
      return undefined;
    }
    const span = 512 ** (level - 1);
    expect(frame % span).toBe(0);
    return { pfn: frame + (gfn % span), rights: low & kind.mask };
  }
  return undefined;
}

describe.each(FORMATS)('the editor with the format of $name', (kind) => {
  const setUp = () => {
    const ranges = [{ start: pfn(TABLES), end: pfn(TABLES + 1200) }];
    const memory = createRam<Pfn>({ ranges });
    const frames = createFrameAllocator<Pfn>({ ranges });
    return { memory, editor: createSecondLevelEditor({ memory, frames, format: kind.format }) };
  };

  it('leaves in the bytes what a page-by-page model has', () => {
    fc.assert(
      fc.property(fc.array(operation, { minLength: 1, maxLength: 8 }), (operations) => {
        const { memory, editor } = setUp();
        const model = new Map<number, { pfn: number; rights: number }>();
        for (const { kind: what, range, rights, shift } of operations) {
          const [start, end] = range;
          const bits = kind.rights[rights] ?? 0;
          if (what === 'map')
            editor.map(start as Gfn, end as Gfn, (start + shift) as Pfn, { low: bits, high: 0 });
          else if (what === 'unmap') editor.unmap(start as Gfn, end as Gfn);
          else
            editor.update(start as Gfn, end as Gfn, {
              clear: { low: kind.mask, high: 0 },
              set: { low: bits, high: 0 },
            });
          for (const gfn of SAMPLES) {
            const old = model.get(gfn);
            if (gfn < start || gfn >= end) continue;
            if (what === 'map') model.set(gfn, { pfn: gfn + shift, rights: bits });
            else if (what === 'unmap') model.delete(gfn);
            else if (old !== undefined) model.set(gfn, { pfn: old.pfn, rights: bits });
          }
          for (const gfn of SAMPLES) expect(lookUp(memory, editor.root, gfn, kind)).toEqual(model.get(gfn));
        }
      }),
      { numRuns: 300 },
    );
  });

  it('maps with the largest leaves, and joins them again after a part was changed and changed back', () => {
    const { editor } = setUp();
    const bits = { low: kind.rights[0], high: 0 };
    editor.map(0 as Gfn, (2 ** 19) as Gfn, 0 as Pfn, bits);
    expect([editor.leaf(5 as Gfn)?.level, editor.tables]).toEqual([3, 2]);
    editor.map(5 as Gfn, 6 as Gfn, 700 as Pfn, bits);
    expect([editor.leaf(5 as Gfn)?.level, editor.tables]).toEqual([1, 4]);
    editor.map(5 as Gfn, 6 as Gfn, 5 as Pfn, bits);
    expect([editor.leaf(5 as Gfn)?.level, editor.tables]).toEqual([3, 2]);
  });

  it('refuses every edit from within a walk over the leaves, which may look at others', () => {
    const { editor } = setUp();
    const bits = { low: kind.rights[0], high: 0 };
    editor.map(0 as Gfn, 1024 as Gfn, 0 as Pfn, bits);
    editor.installLeaf(512 as Gfn, 1, 512 as Pfn, bits);
    const edits: (() => unknown)[] = [
      () => editor.map(0 as Gfn, 1 as Gfn, 7 as Pfn, bits),
      () => editor.installLeaf(0 as Gfn, 1, 7 as Pfn, bits),
      () => editor.unmap(0 as Gfn, 1 as Gfn),
      () => editor.zap(0 as Gfn, 1024 as Gfn),
      () => editor.update(0 as Gfn, 1 as Gfn, { clear: { low: 0, high: 0 }, set: { low: 0, high: 0 } }),
      () => editor.split(0 as Gfn, 1),
      () => editor.merge(0 as Gfn, 1024 as Gfn),
      () => editor.free(),
    ];
    const leaves = (visit: () => void): number[] => {
      const found: number[] = [];
      editor.forEachLeaf(0 as Gfn, 1024 as Gfn, (gfn) => {
        found.push(gfn);
        visit();
      });
      return found;
    };
    const before = leaves(() => {});
    expect(before.length).toBeGreaterThan(1);
    for (const each of edits) {
      expect(() => leaves(each)).toThrow(SecondLevelEditorError);
      // Nothing was done, and the walk before is over.
      expect(leaves(() => editor.leaf(1 as Gfn))).toEqual(before);
    }
    expect(editor.zap(0 as Gfn, 1024 as Gfn).stoppedAt).toBeUndefined();
  });

  it('refuses the leaf bit from its caller', () => {
    const { editor } = setUp();
    const low = kind.rights[0] | kind.format.leaf.mask;
    const bit = `bit ${Math.log2(kind.format.leaf.mask)}`;
    expect(() => editor.map(0 as Gfn, 1 as Gfn, 0 as Pfn, { low, high: 0 })).toThrow(SecondLevelEditorError);
    expect(() => editor.map(0 as Gfn, 1 as Gfn, 0 as Pfn, { low, high: 0 })).toThrow(`without ${bit}`);
    const none = { low: 0, high: 0 };
    expect(() => editor.update(0 as Gfn, 1 as Gfn, { clear: { low, high: 0 }, set: none })).toThrow(bit);
  });
});

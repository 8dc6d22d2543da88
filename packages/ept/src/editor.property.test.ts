import { createFrameAllocator, createRam, type Gfn, type Pfn, pfn } from '@heki/physical-memory';
import type { SecondLevelEdit, SecondLevelEditor } from '@heki/second-level';
import { INTEL_VT_RP } from '@heki/x86';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createEptEditor, eptLeaf, eptRightsChange } from './editor.ts';
import { EPT_RIGHTS } from './entry.ts';

/** Where the tables lie. */
const TABLES = 0x100_0000;
/** A corner of guest memory where tables of levels 1, 2 and 3 meet: 8 frames below 3 GiB and 8 above. */
const CORNER = 3 * 2 ** 18;
/** Distances from the corner at which ranges begin and end: single pages, and leaves of both sizes. */
const STEPS = [0, 1, 2, 7, 511, 512, 513, 1024, 2 ** 18 - 1, 2 ** 18, 2 ** 18 + 512];

interface Page {
  readonly pfn: number;
  readonly low: number;
}

/** The slow and obvious version: what each sampled page maps to. Ranges begin and end only at sampled pages. */
const SAMPLES = [...new Set(STEPS.flatMap((step) => [CORNER - step, CORNER + step, CORNER + step - 1]))]
  .filter((gfn) => gfn >= CORNER - 2 ** 18 - 512)
  .sort((a, b) => a - b);

const boundary = fc.constantFrom(...STEPS.flatMap((step) => [CORNER - step, CORNER + step]));
const range = fc.tuple(boundary, boundary).map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const);
const rights = fc.constantFrom(1, 3, 5, 7, 0x407, 0x401);
const operation = fc.oneof(
  // Targets as far from the guest frame as keeps large leaves legal, or not.
  fc.record({
    kind: fc.constant('map' as const),
    range,
    rights,
    shift: fc.constantFrom(0, 0, 2 ** 18, 512, 1),
  }),
  fc.record({ kind: fc.constant('unmap' as const), range }),
  fc.record({ kind: fc.constant('zap' as const), range }),
  fc.record({ kind: fc.constant('rights' as const), range, rights: fc.oneof(rights, fc.constant(0)) }),
  fc.record({
    kind: fc.constant('install' as const),
    gfn: boundary,
    level: fc.constantFrom(1, 2, 3),
    rights,
  }),
  fc.record({ kind: fc.constant('split' as const), gfn: boundary, level: fc.constantFrom(1, 2) }),
  fc.record({ kind: fc.constant('merge' as const), range }),
);
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

function setUp(frames: number) {
  const ranges = [{ start: pfn(TABLES), end: pfn(TABLES + frames) }];
  const memory = createRam<Pfn>({ ranges });
  const allocator = createFrameAllocator<Pfn>({ ranges });
  const editor = createEptEditor({ memory, frames: allocator, absent: { low: 0, high: 0x8000_0000 } });
  return { memory, allocator, editor };
}

/** Applies `operation` to the tables and, unless a frame was missing, to the model. */
function apply(editor: SecondLevelEditor, model: Map<number, Page>, operation: Operation): SecondLevelEdit {
  const each = (start: number, end: number, change: (gfn: number) => Page | undefined): void => {
    for (const gfn of SAMPLES) {
      if (gfn < start || gfn >= end) continue;
      const page = change(gfn);
      if (page === undefined) model.delete(gfn);
      else model.set(gfn, page);
    }
  };
  const until = (edit: SecondLevelEdit, end: number): number => edit.stoppedAt ?? end;
  switch (operation.kind) {
    case 'map': {
      const [start, end] = operation.range;
      const bits = eptLeaf({ rights: operation.rights });
      const edit = editor.map(start as Gfn, end as Gfn, (start + operation.shift) as Pfn, bits);
      each(start, until(edit, end), (gfn) => ({ pfn: gfn + operation.shift, low: bits.low }));
      return edit;
    }
    case 'unmap': {
      const [start, end] = operation.range;
      const edit = editor.unmap(start as Gfn, end as Gfn);
      each(start, until(edit, end), () => undefined);
      return edit;
    }
    case 'zap': {
      const [start, end] = operation.range;
      const leaves: [number, number][] = [];
      editor.forEachLeaf(start as Gfn, end as Gfn, (gfn, level) =>
        leaves.push([gfn, gfn + 512 ** (level - 1)]),
      );
      const edit = editor.zap(start as Gfn, end as Gfn);
      expect(edit.stoppedAt).toBeUndefined();
      for (const [first, last] of leaves) each(first, last, () => undefined);
      return edit;
    }
    case 'rights': {
      const [start, end] = operation.range;
      const edit = editor.update(start as Gfn, end as Gfn, eptRightsChange(operation.rights));
      each(start, until(edit, end), (gfn) => {
        const page = model.get(gfn);
        if (page === undefined || operation.rights === 0) return undefined;
        return { pfn: page.pfn, low: (page.low & ~EPT_RIGHTS) | operation.rights };
      });
      return edit;
    }
    case 'install': {
      const span = 512 ** (operation.level - 1);
      const gfn = operation.gfn - (operation.gfn % span);
      const bits = eptLeaf({ rights: operation.rights });
      const edit = editor.installLeaf(gfn as Gfn, operation.level, gfn as Pfn, bits);
      if (edit.stoppedAt === undefined) each(gfn, gfn + span, (frame) => ({ pfn: frame, low: bits.low }));
      return edit;
    }
    case 'split':
      return editor.split(operation.gfn as Gfn, operation.level);
    case 'merge':
      return editor.merge(operation.range[0] as Gfn, operation.range[1] as Gfn);
  }
}

/** The pages as the tables have them. */
function readBack(editor: SecondLevelEditor): Map<number, Page> {
  const pages = new Map<number, Page>();
  for (const gfn of SAMPLES) {
    const leaf = editor.leaf(gfn as Gfn);
    if (leaf === undefined) continue;
    expect(leaf.gfn % 512 ** (leaf.level - 1)).toBe(0);
    pages.set(gfn, {
      pfn: leaf.pfn + (gfn - leaf.gfn),
      low: (leaf.entry.low & 0xfff & ~(leaf.level > 1 ? 0x80 : 0)) >>> 0,
    });
  }
  return pages;
}

/** How many leaves there are. */
function mapped(editor: SecondLevelEditor): number {
  let leaves = 0;
  editor.forEachLeaf(0 as Gfn, (2 ** 36) as Gfn, () => leaves++);
  return leaves;
}

/** Table pages that can be reached from the root, by a walk of its own over the bytes. */
function reachable(
  memory: { page(frame: Pfn): ArrayLike<number> | undefined },
  table: number,
  level: number,
): number[] {
  const page = memory.page(table as Pfn);
  const found = [table];
  if (level === 1 || page === undefined) return found;
  for (let word = 0; word < 1024; word += 2) {
    const low = page[word] ?? 0;
    if ((low & EPT_RIGHTS) !== 0 && (low & 0x80) === 0) {
      found.push(
        ...reachable(memory, (low >>> 12) + ((page[word + 1] ?? 0) & 0xf_ffff) * 2 ** 20, level - 1),
      );
    }
  }
  return found;
}

function isEmpty(memory: { page(frame: Pfn): ArrayLike<number> | undefined }, table: number): boolean {
  const page = memory.page(table as Pfn);
  for (let word = 0; word < 1024; word += 2) if (((page?.[word] ?? 0) & EPT_RIGHTS) !== 0) return false;
  return page !== undefined;
}

describe('the EPT editor', () => {
  it('leaves in the tables what a page-by-page model has, frees what it no longer needs, and flushes enough', () => {
    fc.assert(
      fc.property(
        fc.array(operation, { minLength: 1, maxLength: 10 }),
        fc.constantFrom(6, 9, 40),
        (operations, frames) => {
          const { memory, allocator, editor } = setUp(frames);
          const model = new Map<number, Page>();
          for (const operation of operations) {
            const before = new Map(model);
            const leaves = mapped(editor);
            const sizes = new Map(SAMPLES.map((gfn) => [gfn, editor.leaf(gfn as Gfn)?.level]));
            const { flush } = apply(editor, model, operation);
            expect(readBack(editor)).toEqual(model);

            const used = reachable(memory, editor.root, 4);
            expect(editor.tables).toBe(used.length);
            expect(allocator.freeFrames).toBe(frames - used.length);
            expect(new Set(used).size).toBe(used.length);

            for (const [gfn, old] of before) {
              const now = model.get(gfn);
              const stale =
                now === undefined ||
                now.pfn !== old.pfn ||
                (old.low & ~now.low) !== 0 ||
                sizes.get(gfn) !== editor.leaf(gfn as Gfn)?.level;
              if (stale) expect(flush !== undefined && flush.start <= gfn && gfn < flush.end).toBe(true);
            }
            if (leaves === 0) expect(flush).toBeUndefined();
            for (const table of used) expect(table === editor.root || !isEmpty(memory, table)).toBe(true);
          }
        },
      ),
      { numRuns: 1000 },
    );
  });

  it('keeps the largest legal leaves while it maps and changes rights', () => {
    const changes = operation.filter(
      (candidate) => (candidate.kind === 'map' && candidate.shift !== 1) || candidate.kind === 'rights',
    );
    fc.assert(
      fc.property(fc.array(changes, { minLength: 1, maxLength: 8 }), (operations) => {
        const { editor } = setUp(60);
        for (const operation of operations)
          expect(apply(editor, new Map(), operation).stoppedAt).toBeUndefined();
        const before = readBack(editor);
        const { tables } = editor;
        expect(editor.merge(0 as Gfn, (2 ** 36) as Gfn)).toEqual({ stoppedAt: undefined, flush: undefined });
        expect(editor.tables).toBe(tables);
        expect(readBack(editor)).toEqual(before);
      }),
      { numRuns: 300 },
    );
  });

  it('never has more tables than a processor without large leaves would need, nor larger leaves than it may', () => {
    const ranges = [{ start: pfn(TABLES), end: pfn(TABLES + 2000) }];
    const features = INTEL_VT_RP.ept ?? expect.unreachable();
    const editor = createEptEditor({
      memory: createRam<Pfn>({ ranges }),
      frames: createFrameAllocator<Pfn>({ ranges }),
      processor: { ...INTEL_VT_RP, ept: { ...features, gigabytePages: false } },
    });
    editor.map(0 as Gfn, (2 ** 19) as Gfn, 0 as Pfn, eptLeaf({ rights: 7 }));
    expect(editor.leaf(5 as Gfn)?.level).toBe(2);
    expect(editor.tables).toBe(4);
  });
});

it('tables of other than four or five levels are refused', () => {
  const memory = createRam<Pfn>({ ranges: [{ start: pfn(0), end: pfn(16) }] });
  const frames = createFrameAllocator<Pfn>({ ranges: [{ start: pfn(1), end: pfn(16) }] });
  for (const levels of [3, 6, '4']) {
    expect(() => createEptEditor({ memory, frames, levels: levels as never })).toThrow(
      'levels of tables: expected 4 or 5',
    );
  }
});

import {
  type Gfn,
  gfn,
  type PhysicalMemory,
  VIRTUAL_FRAME_END,
  type VirtualFrame,
} from '@heki/physical-memory';
import {
  HARDWARE_PRESENCE,
  LINUX_PRESENCE,
  type PresencePolicy,
  upperHalfStart,
  walkMappings,
} from '@heki/x86';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { infoTlbLine } from '../info-tlb.ts';
import { buildCore, qemuNote, vmcoreinfoNote } from '../testing/build-core.ts';
import { fixtureNames, inflatedFixture } from '../testing/fixtures.ts';
import { readVmcore, type Vmcore } from '../vmcore.ts';
import { type ExtractOptions, extractTables } from './extract-tables.ts';

const PAGE = 4096;
const ALL = { start: 0 as VirtualFrame, end: VIRTUAL_FRAME_END as VirtualFrame };

function extractOf(core: Vmcore, options?: ExtractOptions): Uint8Array {
  return Buffer.concat([...extractTables(core, options).chunks()]);
}

/** Frames that a dump holds. */
function framesOf({ segments }: Vmcore): number[] {
  return segments.flatMap(({ start, end }) =>
    Array.from({ length: (end - start) / PAGE }, (_, index) => start / PAGE + index),
  );
}

/** What a walk finds, a line for each leaf, and the frames that it read as tables. */
function walk(
  memory: PhysicalMemory<Gfn>,
  root: Gfn,
  levels: 4 | 5,
  options: { readonly presence?: PresencePolicy; readonly user?: boolean } = {},
): { text: string; read: Set<number> } {
  const read = new Set<number>();
  const spy: PhysicalMemory<Gfn> = {
    ...memory,
    page(frame) {
      const page = memory.page(frame);
      if (page !== undefined) read.add(frame);
      return page;
    },
  };
  const { presence = HARDWARE_PRESENCE } = options;
  const lines: string[] = [];
  const start = options.user ? ALL.start : upperHalfStart(levels);
  const { absentTables, stoppedAt } = walkMappings(
    { memory: spy, root, levels, presence, budget: 4096 },
    start,
    ALL.end,
    (leaf) => lines.push(`${infoTlbLine(leaf)} ${leaf.effective}`),
  );
  lines.push(`absent ${absentTables}, stopped at ${stoppedAt}`);
  return { text: lines.join('\n'), read };
}

/** A page with these entries, each `[slot, value]`. */
function table(...entries: readonly (readonly [slot: number, value: bigint])[]): Uint8Array {
  const bytes = new Uint8Array(PAGE);
  const view = new DataView(bytes.buffer);
  for (const [slot, value] of entries) view.setBigUint64(slot * 8, value, true);
  return bytes;
}

const toTable = (frame: number): bigint => BigInt(frame * PAGE) + 0x63n;
const SECRET = new TextEncoder().encode('correct horse battery staple '.repeat(141)).subarray(0, PAGE);

/** A core of pages by frame, of one CPU with CR3 at frame `root`. */
function coreOf(pages: Readonly<Record<number, Uint8Array>>, root: number, cr4 = 0x20n): Uint8Array {
  return buildCore({
    loads: Object.entries(pages).map(([frame, bytes]) => ({ address: Number(frame) * PAGE, bytes })),
    notes: [qemuNote({ cr3: BigInt(root * PAGE), cr4 })],
  });
}

describe('the extract of a real kernel', () => {
  test.each(fixtureNames)('%s walks as the dump does, and is its own extract', (name) => {
    const core = readVmcore(inflatedFixture(`${name}.elf.gz`));
    const { roots, chunks } = extractTables(core);
    const bytes = Buffer.concat([...chunks()]);
    const extract = readVmcore(bytes);
    for (const { frame, levels } of roots) {
      expect(walk(extract.memory, frame, levels).text).toBe(walk(core.memory, frame, levels).text);
    }
    expect(extract.notes.map(({ offset, ...note }) => note)).toEqual(
      core.notes.map(({ offset, ...note }) => note),
    );
    expect(Buffer.compare(bytes, extractOf(extract))).toBe(0);
  });

  test('has none of the contents that a dump holds besides', () => {
    const plain = readVmcore(inflatedFixture('k61-256-nokaslr.elf.gz'));
    const held = new Set(framesOf(plain));
    const contents = Array.from({ length: 2000 }, (_, frame) => frame).filter((frame) => !held.has(frame));
    const full = buildCore({
      loads: [
        ...framesOf(plain).map((frame) => ({
          address: frame * PAGE,
          bytes: Uint8Array.from(
            new Uint8Array(Uint32Array.from(plain.memory.page(gfn(frame)) ?? []).buffer),
          ),
        })),
        ...contents.map((frame) => ({ address: frame * PAGE, bytes: SECRET })),
      ],
      notes: plain.notes,
    });
    const bytes = extractOf(readVmcore(full));
    expect(Buffer.compare(bytes, extractOf(plain))).toBe(0);
    expect(Buffer.from(bytes).includes('correct horse')).toBe(false);
  });
});

describe('any tables', () => {
  const FRAMES = 10;
  const entry = fc.record({
    slot: fc.oneof(fc.integer({ min: 0, max: 511 }), fc.constantFrom(0, 255, 256, 511)),
    frame: fc.integer({ min: 0, max: FRAMES + 1 }),
    flags: fc.constantFrom(0x63n, 0x3n, 0xe3n, 0x1e3n, 0x80n, 0x100n, 0x180n, 0x62n, 0n),
    executeDisable: fc.boolean(),
  });
  const pages = fc.array(fc.array(entry, { maxLength: 4 }), { minLength: 1, maxLength: FRAMES });
  const cores = fc.record({ pages, root: fc.integer({ min: 0, max: FRAMES }), la57: fc.boolean() });

  const build = ({ pages: contents, root, la57 }: typeof cores extends fc.Arbitrary<infer T> ? T : never) =>
    coreOf(
      Object.fromEntries(
        contents.map((entries, frame) => [
          frame,
          table(
            ...entries.map(
              ({ slot, frame: target, flags, executeDisable }) =>
                [slot, BigInt(target * PAGE) + flags + (executeDisable ? 1n << 63n : 0n)] as const,
            ),
          ),
        ]),
      ),
      root,
      la57 ? 0x1020n : 0x20n,
    );

  test.each([false, true])('walk as before, and only tables are kept (user half kept: %s)', (user) => {
    fc.assert(
      fc.property(cores, (parts) => {
        fc.pre(parts.root < parts.pages.length);
        const core = readVmcore(build(parts));
        const levels = parts.la57 ? 5 : 4;
        const { roots, chunks } = extractTables(core, { user });
        const bytes = Buffer.concat([...chunks()]);
        const extract = readVmcore(bytes);
        const needed = new Set<number>();
        for (const { frame } of roots) {
          for (const presence of [HARDWARE_PRESENCE, LINUX_PRESENCE]) {
            const before = walk(core.memory, frame, levels, { presence, user });
            expect(walk(extract.memory, frame, levels, { presence, user }).text).toBe(before.text);
            for (const one of before.read) needed.add(one);
          }
        }
        expect(new Set(framesOf(extract))).toEqual(needed);
        expect(Buffer.compare(bytes, extractOf(extract, { user }))).toBe(0);
      }),
      { numRuns: 100 },
    );
  });
});

describe('the user half', () => {
  const pages = {
    1: table([0, toTable(2)], [511, toTable(3)]),
    2: table([0, toTable(4)]),
    3: table([0, 0x1e3n]),
    4: table([0, 0x1e7n]),
  };

  test('is left out with all that it leads to', () => {
    const core = readVmcore(coreOf(pages, 1));
    const extract = extractTables(core);
    expect(extract.userEntriesCleared).toBe(1);
    const small = readVmcore(Buffer.concat([...extract.chunks()]));
    expect(framesOf(small)).toEqual([1, 3]);
    const root = small.memory.page(gfn(1));
    for (let word = 0; word < 512; word++) expect(root?.[word]).toBe(0);
  });

  test('is kept where it is asked for', () => {
    const core = readVmcore(coreOf(pages, 1));
    expect(framesOf(readVmcore(extractOf(core, { user: true })))).toEqual([1, 2, 3, 4]);
  });

  test('stays in a root that the kernel half maps as a table: that walk reads it', () => {
    const core = readVmcore(coreOf({ ...pages, 1: table([0, toTable(2)], [511, toTable(1)]) }, 1));
    const extract = extractTables(core);
    expect(extract.userEntriesCleared).toBe(0);
    expect(framesOf(readVmcore(Buffer.concat([...extract.chunks()])))).toEqual([1, 2, 4]);
  });
});

describe('the other root of page-table isolation', () => {
  const kernel = table([256, toTable(10)], [508, toTable(11)], [511, toTable(12)]);
  const tables = { 10: table(), 11: table(), 12: table(), 13: table() };

  test.each([
    ['the user root', 2, 3],
    ['the kernel root', 3, 2],
  ])('comes along when CR3 is on %s', (_, other, cr3) => {
    const user = table([508, toTable(11)], [511, toTable(13)]);
    const core = readVmcore(coreOf({ 2: kernel, 3: user, ...tables }, cr3));
    const { roots } = extractTables(core);
    expect(roots.map(({ frame, from }) => [frame, from])).toEqual([
      [cr3, 'cr3'],
      [cr3 === 3 ? 2 : 3, 'pti-pair'],
    ]);
    expect(other).not.toBe(cr3);
  });

  test('is found with five levels, where it shares tables one level down', () => {
    const core = readVmcore(
      coreOf(
        {
          2: table([300, toTable(10)], [511, toTable(20)]),
          3: table([511, toTable(21)]),
          20: table([508, toTable(11)], [511, toTable(12)]),
          21: table([508, toTable(11)], [511, toTable(13)]),
          ...tables,
        },
        3,
        0x1020n,
      ),
    );
    expect(extractTables(core).roots.map(({ frame }) => frame)).toEqual([3, 2]);
  });

  test.each([
    ['contents', SECRET],
    ['nothing', table()],
    ['the root of another process', kernel],
    ['a table that maps what the root does not', table([257, toTable(10)], [508, toTable(11)])],
  ])('is not taken from a page beside the root with %s', (_, page) => {
    const core = readVmcore(coreOf({ 2: kernel, 3: page, ...tables }, 2));
    expect(extractTables(core).roots.map(({ frame }) => frame)).toEqual([2]);
    expect(framesOf(readVmcore(extractOf(core)))).not.toContain(3);
  });
});

describe('roots', () => {
  test('are those of every CPU with paging on, and swapper_pg_dir', () => {
    const core = readVmcore(
      buildCore({
        loads: [2, 4, 6, 8].map((frame) => ({ address: frame * PAGE, bytes: table([511, toTable(9)]) })),
        notes: [
          qemuNote({ cr3: 0x2000n, cr4: 0x20n }),
          qemuNote({ cr3: 0x4000n, cr4: 0x20n }),
          // A CPU that waits for INIT.
          qemuNote({ cr0: 0x6000_0010n, cr3: 0x8000n, cr4: 0n }),
          vmcoreinfoNote('SYMBOL(swapper_pg_dir)=ffffffff80006000\nNUMBER(phys_base)=0\n'),
        ],
      }),
    );
    expect(extractTables(core).roots).toEqual([
      { frame: 2, levels: 4, from: 'cr3', cpu: 0 },
      { frame: 4, levels: 4, from: 'cr3', cpu: 1 },
      { frame: 6, levels: 4, from: 'swapper-pg-dir' },
    ]);
  });

  test('there must be one in the dump', () => {
    const core = readVmcore(coreOf({ 1: table() }, 7));
    expect(() => extractTables(core)).toThrow(
      'no root table: none of the 1 CPUs in the dump has one in it, and there is no swapper_pg_dir',
    );
  });
});

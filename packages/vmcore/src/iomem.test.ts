import { gfn } from '@heki/physical-memory';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { VmcoreError } from './error.ts';
import { parseIomem } from './iomem.ts';

const TEXT = `00000000-00000fff : Reserved
00001000-0009fbff : System RAM
0009fc00-0009ffff : Reserved
000a0000-000bffff : PCI Bus 0000:00
00100000-0ffdf7ff : System RAM
  01000000-01e01ef1 : Kernel code
0ffdf800-0ffdf8ff : ACPI Tables
0ffdf900-0ffe17ff : ACPI Non-volatile Storage
fee00000-fee00fff : Local APIC
100000000-17fffffff : System RAM
`;

describe('/proc/iomem', () => {
  it('gives RAM by whole pages and other memory by every page that it touches', () => {
    const map = parseIomem(TEXT);
    expect(map.entries.map(({ start, end, type }) => [start, end, type])).toEqual([
      [0, 1, 'reserved'],
      [1, 0x9f, 'ram'],
      [0x9f, 0xa0, 'reserved'],
      [0x100, 0xffdf, 'ram'],
      [0xffdf, 0xffe0, 'acpi'],
      [0xffe0, 0xffe2, 'nvs'],
      [0x10_0000, 0x18_0000, 'ram'],
    ]);
    expect(map.ramEnd).toBe(0x18_0000);
    expect(map.isRam(gfn(0xffdf))).toBe(false);
  });

  it('without privileges hides its addresses, and says so', () => {
    expect(() => parseIomem('00000000-00000000 : Reserved\n00000000-00000000 : System RAM\n')).toThrow(
      'root alone',
    );
    expect(() => parseIomem('')).toThrow('the memory map is empty');
  });

  it('is told from other text by line', () => {
    expect(() => parseIomem(`${TEXT}hello\n`)).toThrow('line 11 of the memory map is "hello"');
    expect(() => parseIomem('00002000-00001000 : System RAM')).toThrow(
      'line 1 of the memory map ends before',
    );
    expect(() => parseIomem('1000-1fff : Reserved\n1800-2fff : System RAM')).toThrow(
      'line 2 of the memory map overlaps',
    );
    expect(() => parseIomem(`1000-1fff : ${'x'.repeat(4097)}`)).toThrow(
      'line 1 of the memory map has a name of 4097 characters: expected at most 4096',
    );
    expect(() => parseIomem('2000-2fff : Reserved\n1000-1fff : System RAM')).toThrow(VmcoreError);
  });

  it('leaves out RAM without a whole page and what lies beyond 52 bits', () => {
    const map = parseIomem(
      '1000-1ffe : System RAM\n2001-2fff : System RAM\n10000000000000-ffffffffffffffff : Reserved',
    );
    expect(map.entries).toEqual([]);
    expect(map.ramEnd).toBe(0);
    expect(map.leftOut).toEqual([
      { name: 'Reserved', bytes: 0xfff0_0000_0000_0000, isMemory: true },
      { name: 'parts of pages of System RAM', bytes: 0xfff + 0xfff, isMemory: true },
    ]);
  });

  it('tells what is reserved for a crash kernel, in both places where that can be', () => {
    const map = parseIomem(`00100000-7fffffff : System RAM
  01000000-01e01ef1 : Kernel code
  34000000-3dffffff : Crash kernel
100000000-1bfffffff : System RAM
  1a0000000-1afffffff : Crash kernel
`);
    expect(map.crashKernel).toEqual([
      { start: 0x3_4000, end: 0x3_e000 },
      { start: 0x1a_0000, end: 0x1b_0000 },
    ]);
    expect(map.isRam(gfn(0x3_4000))).toBe(true);
    expect(parseIomem(TEXT).crashKernel).toEqual([]);
  });

  it('tells what it does not count as RAM, by name and size', () => {
    expect(parseIomem(TEXT).leftOut).toEqual([
      { name: 'Reserved', bytes: 0x1000 + 0x400, isMemory: true },
      { name: 'PCI Bus 0000:00', bytes: 0x2_0000, isMemory: false },
      { name: 'ACPI Tables', bytes: 0x100, isMemory: true },
      { name: 'ACPI Non-volatile Storage', bytes: 0x1f00, isMemory: true },
      { name: 'Local APIC', bytes: 0x1000, isMemory: false },
      { name: 'parts of pages of System RAM', bytes: 0xc00 + 0x800, isMemory: true },
    ]);
  });
});

describe('RAM in /proc/iomem', () => {
  const ramOf = (text: string) => {
    const map = parseIomem(text);
    const ram = map.entries.filter(({ type }) => type === 'ram');
    return { ram: ram.map(({ start, end }) => [start, end]), leftOut: map.leftOut };
  };

  it('is RAM under the device from which a driver plugged it in', () => {
    expect(
      ramOf(`00100000-07ffffff : System RAM
08000000-0fffffff : Persistent Memory
  08000000-0fffffff : dax0.0
    08000000-0fffffff : System RAM (kmem)
`),
    ).toEqual({ ram: [[0x100, 0x1_0000]], leftOut: [] });
    expect(
      ramOf(`08000000-0fffffff : virtio0
  08000000-0bffffff : System RAM (virtio_mem)
  0e000000-0effffff : System RAM (virtio_mem)
`),
    ).toEqual({
      ram: [
        [0x8000, 0xc000],
        [0xe000, 0xf000],
      ],
      leftOut: [{ name: 'virtio0', bytes: 0x300_0000, isMemory: false }],
    });
    expect(
      ramOf(`100000000-1ffffffff : CXL Window 0
  100000000-17fffffff : region0
    100000000-17fffffff : dax0.0
      100000000-17fffffff : System RAM (kmem)
`).ram,
    ).toEqual([[0x10_0000, 0x18_0000]]);
  });

  it('is RAM under memory of another type, of which the rest stays what it is', () => {
    const map = parseIomem('1000-8fff : Reserved\n  3000-4fff : System RAM\n  6000-6fff : Reserved\n');
    expect(map.entries).toEqual([
      { start: 1, end: 3, type: 'reserved' },
      { start: 3, end: 5, type: 'ram' },
      { start: 5, end: 9, type: 'reserved' },
    ]);
  });

  it('is not split by what lies in it', () => {
    expect(
      ramOf(`00100000-7fffffff : System RAM
  01000000-01e01ef1 : Kernel code
  2c000000-33ffffff : Crash kernel
  40000000-4000ffff : Reserved
    40000000-40000fff : ramoops:dump(0/1)
`),
    ).toEqual({ ram: [[0x100, 0x8_0000]], leftOut: [] });
  });

  it('is joined where it goes on in the middle of a page', () => {
    expect(ramOf('1000-27ff : System RAM\n2800-3fff : System RAM (kmem)\n').ram).toEqual([[1, 4]]);
  });

  it('is found however the lines are indented', () => {
    const nested = (indent: string, end: string) =>
      ['1000-9fff : Persistent Memory', '2000-8fff : dax0.0', '3000-7fff : System RAM (kmem)']
        .map((line, depth) => indent.repeat(depth) + line)
        .join(end);
    for (const text of [
      nested('  ', '\n'),
      nested('\t', '\r\n'),
      nested('', '\n'),
      nested(' '.repeat(8), '\n'),
    ]) {
      expect(ramOf(text).ram).toEqual([[3, 8]]);
    }
  });

  it('is not what only begins with its name', () => {
    expect(ramOf('1000-1fff : System RAM\n2000-2fff : System RAMdisk\n3000-3fff : RAM buffer').ram).toEqual([
      [1, 2],
    ]);
  });
});

describe('any memory map', () => {
  const NAMES = ['System RAM', 'System RAM (kmem)', 'Reserved', 'Persistent Memory', 'ACPI Tables', 'dax0.0'];
  const UNIT = 0x400;
  interface Node {
    readonly start: number;
    readonly end: number;
    readonly name: string;
    readonly children: readonly Node[];
  }

  /** Entries side by side in `units` units of 1 KiB, with others in them. */
  const nodes = (start: number, end: number, depth: number): fc.Arbitrary<Node[]> =>
    fc
      .tuple(
        fc.array(fc.integer({ min: start, max: end }), { maxLength: 6 }),
        fc.array(fc.constantFrom(...NAMES), { minLength: 3, maxLength: 3 }),
      )
      .chain(([cuts, names]) => {
        const edges = [...new Set(cuts)].sort((a, b) => a - b);
        const spans = names.flatMap((name, index) => {
          const [from, to] = [edges[2 * index], edges[2 * index + 1]];
          return from === undefined || to === undefined ? [] : [{ name, from, to }];
        });
        return fc.tuple(
          ...spans.map(({ name, from, to }) =>
            (depth === 0 ? fc.constant<Node[]>([]) : nodes(from, to, depth - 1)).map((children) => ({
              start: from,
              end: to,
              name,
              children,
            })),
          ),
        );
      });

  it('is what a look at each page and each byte says', () => {
    fc.assert(
      fc.property(nodes(0, 100, 3), fc.constantFrom('', ' ', '  ', '\t'), (tops, indent) => {
        fc.pre(tops.length > 0);
        const lines: string[] = [];
        const isRam = new Array<boolean>(100).fill(false);
        const typed: Node[] = [];
        const list = (node: Node, depth: number, inTyped: boolean): void => {
          const hexadecimal = (value: number) => value.toString(16).padStart(8, '0');
          lines.push(
            `${indent.repeat(depth)}${hexadecimal(node.start * UNIT)}-${hexadecimal(node.end * UNIT - 1)} : ${node.name}`,
          );
          const ram = node.name.startsWith('System RAM');
          if (ram) isRam.fill(true, node.start, node.end);
          const hasType = !ram && node.name !== 'dax0.0';
          if (hasType && !inTyped) typed.push(node);
          for (const child of node.children) list(child, depth + 1, inTyped || hasType);
        };
        for (const top of tops) list(top, 0, false);

        const map = parseIomem(lines.join('\n'));
        for (let page = 0; page < 25; page++) {
          const units = [0, 1, 2, 3].map((unit) => page * 4 + unit);
          const first = typed.find(({ start, end }) => units.some((unit) => unit >= start && unit < end));
          const types: Record<string, string> = { Reserved: 'reserved', 'ACPI Tables': 'acpi' };
          const other = first === undefined ? undefined : (types[first.name] ?? 'persistent');
          const expected = units.every((unit) => isRam[unit]) ? 'ram' : other;
          expect([page, map.entryAt(gfn(page))?.type]).toEqual([page, expected]);
        }
        const leftOut = new Map<string, number>();
        const add = (name: string, units: number) =>
          units > 0 && leftOut.set(name, (leftOut.get(name) ?? 0) + units * UNIT);
        for (const { start, end, name } of tops) {
          if (!name.startsWith('System RAM')) add(name, isRam.slice(start, end).filter((ram) => !ram).length);
        }
        add('parts of pages of System RAM', isRam.filter((ram) => ram).length - map.ramFrames * 4);
        expect(new Map(map.leftOut.map(({ name, bytes }) => [name, bytes]))).toEqual(leftOut);
      }),
    );
  });
});

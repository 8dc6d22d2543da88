import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gfn } from '@heki/physical-memory';
import { afterAll, describe, expect, it } from 'vitest';
import { VmcoreError } from './error.ts';
import { parseIomem, readMemoryMap } from './iomem.ts';

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
    expect(() => parseIomem('')).toThrow('no addresses');
  });

  it('is told from other text by line', () => {
    expect(() => parseIomem(`${TEXT}hello\n`)).toThrow('line 11 of the memory map is "hello"');
    expect(() => parseIomem('00002000-00001000 : System RAM')).toThrow(
      'line 1 of the memory map ends before',
    );
    expect(() => parseIomem('1000-1fff : Reserved\n1800-2fff : System RAM')).toThrow(
      'line 2 of the memory map overlaps',
    );
    expect(() => parseIomem('2000-2fff : Reserved\n1000-1fff : System RAM')).toThrow(VmcoreError);
  });

  it('leaves out RAM without a whole page and what lies beyond 52 bits', () => {
    const map = parseIomem(
      '1000-1ffe : System RAM\n2001-2fff : System RAM\n10000000000000-ffffffffffffffff : Reserved',
    );
    expect(map.entries).toEqual([]);
    expect(map.ramEnd).toBe(0);
  });
});

describe('a memory map file', () => {
  const folder = mkdtempSync(join(tmpdir(), 'iomem-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const file = (name: string, text: string) => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };

  it('is text of /proc/iomem or JSON with its lines', () => {
    const plain = readMemoryMap(file('iomem', TEXT));
    const json = readMemoryMap(
      file('k.json', JSON.stringify({ kernel: '6.1', iomem: TEXT.trimEnd().split('\n') })),
    );
    expect(json.entries).toEqual(plain.entries);
  });

  it('that holds no memory map is refused by name', () => {
    expect(() => readMemoryMap(join(folder, 'none'))).toThrow('none cannot be read');
    expect(() => readMemoryMap(file('a.json', '{"iomem": 5}'))).toThrow('a.json: `iomem` is missing');
    expect(() => readMemoryMap(file('b.json', '{'))).toThrow(VmcoreError);
    expect(() => readMemoryMap(file('c', 'hello'))).toThrow('c: line 1');
  });
});

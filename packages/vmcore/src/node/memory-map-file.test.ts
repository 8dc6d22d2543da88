import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { VmcoreError } from '../error.ts';
import { readMemoryMap } from './memory-map-file.ts';

const TEXT =
  '00001000-0009fbff : System RAM\n00100000-0ffdffff : System RAM\n  01000000-01e01ef1 : Kernel code\n';

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
    expect(plain.ramEnd).toBe(0xffe0);
    expect(json.entries).toEqual(plain.entries);
  });

  it('that holds no memory map is refused by name', () => {
    expect(() => readMemoryMap(join(folder, 'none'))).toThrow('none cannot be read');
    expect(() => readMemoryMap(file('a.json', '{"iomem": 5}'))).toThrow('a.json: `iomem` is missing');
    expect(() => readMemoryMap(file('b.json', '{'))).toThrow(VmcoreError);
    expect(() => readMemoryMap(file('c', 'hello'))).toThrow('c: line 1');
  });

  it('is read as a stream of bytes, and never without end', () => {
    expect(() => readMemoryMap('/dev/zero')).toThrow('/dev/zero: larger than 16 MiB');
    expect(() => readMemoryMap(folder)).toThrow('cannot be read');
  });
});

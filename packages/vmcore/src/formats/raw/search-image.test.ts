import { gpa } from '@heki/physical-memory';
import { expect, it } from 'vitest';
import type { ByteSource } from '../../byte-source.ts';
import { searchImage } from './search-image.ts';

it('reads each whole page of a range once, and nothing behind its last one', () => {
  const reads: number[][] = [];
  const source: ByteSource = {
    size: 2 ** 22,
    read: (offset, target) => void reads.push([offset, target.length]),
    words: () => undefined,
    close() {},
  };
  const MIB = 2 ** 20;
  const segments = [MIB - 100, MIB, MIB + 100, MIB + 0x1100, 0x1000, 0xfff].map((length, index) => ({
    start: gpa(index * 2 ** 24),
    end: gpa(index * 2 ** 24 + length),
    fileOffset: 0x100,
  }));
  expect(searchImage(source, segments)).toEqual({ vmcoreinfo: [], rootLikePages: [] });
  expect(reads).toEqual([
    [0x100, MIB - 0x1000],
    [0x100, MIB],
    [0x100, MIB],
    [0x100, MIB],
    [0x100 + MIB, 0x1000],
    [0x100, 0x1000],
  ]);
});

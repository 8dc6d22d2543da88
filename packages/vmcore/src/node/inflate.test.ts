import { deflateSync } from 'node:zlib';
import { PAGE_SIZE, type PageView } from '@heki/physical-memory';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { VmcoreError } from '../error.ts';
import { decompressPage } from '../formats/kdump/decompress-page.ts';
import { PACKING_FLAGS, packedPages } from '../testing/packed-pages.ts';
import { inflate } from './inflate.ts';

const { pages, packed } = packedPages();
const isPage = ({ buffer, byteOffset }: PageView, page: Buffer): boolean =>
  page.equals(new Uint8Array(buffer, byteOffset, PAGE_SIZE));

it('unpacks every page that zlib packed as JavaScript does', () => {
  const isWhole = (page: Buffer, index: number) => {
    const bytes = Uint8Array.from(packed.zlib[index] ?? []);
    return [inflate, undefined].every((by) => isPage(decompressPage(bytes, PACKING_FLAGS.zlib, by), page));
  };
  expect(pages.filter((page, index) => !isWhole(page, index))).toEqual([]);
});

it('refuses a page with any byte of it changed or its end cut off, as JavaScript does, or both give what it was', () => {
  const [page = Buffer.alloc(0)] = pages;
  const whole = Uint8Array.from(packed.zlib[0] ?? []);
  fc.assert(
    fc.property(
      fc.nat(whole.length - 1),
      fc.integer({ min: 1, max: 255 }),
      fc.boolean(),
      (at, flip, isCut) => {
        const bytes = isCut
          ? whole.slice(0, at)
          : whole.map((byte, index) => (index === at ? byte ^ flip : byte));
        const answers = [inflate, undefined].map((by) => {
          try {
            return decompressPage(bytes, PACKING_FLAGS.zlib, by);
          } catch (error) {
            expect(error).toBeInstanceOf(VmcoreError);
            return 'refused';
          }
        });
        expect(answers.every((answer) => answer === 'refused' || isPage(answer, page))).toBe(true);
      },
    ),
  );
});

it('refuses what unpacks to more or less than a page, or has anything behind it, as JavaScript does', () => {
  const [page = Buffer.alloc(0)] = pages;
  const whole = Buffer.from(packed.zlib[0] ?? []);
  const sizes = [4095, 4097, 2 ** 20].map((size) => deflateSync(Buffer.alloc(size)));
  // With the checksum of what a page has room for.
  const crafted = Buffer.concat([
    deflateSync(Buffer.concat([page, page])).subarray(0, -4),
    whole.subarray(-4),
  ]);
  for (const bytes of [...sizes, crafted, Buffer.concat([whole, Buffer.alloc(3)])]) {
    for (const by of [inflate, undefined])
      expect(() => decompressPage(new Uint8Array(bytes), PACKING_FLAGS.zlib, by)).toThrow(VmcoreError);
  }
});

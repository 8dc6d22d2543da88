import { expect, it } from 'vitest';
import { decompressPage } from './decompress-page.ts';

it('gives the words of a page that is not packed, wherever in a larger array its bytes are', () => {
  const bytes = Uint8Array.from({ length: 4096 }, (_, at) => (at * 7) % 251);
  const words = new Uint32Array(bytes.buffer);
  for (const at of [0, 8, 4096]) {
    const larger = new Uint8Array(3 * 4096);
    larger.set(bytes, at);
    expect(decompressPage(larger.subarray(at, at + 4096), 0)).toEqual(words);
  }
  expect(decompressPage(bytes, 0)).toEqual(words);
  expect(() => decompressPage(bytes.subarray(1), 0)).toThrow('a page of 4095 bytes: expected 4096');
  expect(() => decompressPage(bytes, 3)).toThrow('a page with flags 0x3: expected one way of packing it');
});

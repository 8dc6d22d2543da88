import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createByteReader } from './byte-reader.ts';
import { bzImagePayload, isBzImage } from './bzimage.ts';
import { fileOfTar, isDebianPackage, packageData } from './debian-package.ts';
import { KernelImageError } from './error.ts';
import { moveImage } from './moved-image.ts';
import { buildBzImage, buildPackage, buildVmlinux, type PlainSegment } from './testing/build-image.ts';
import { loadedBytes, parseVmlinux } from './vmlinux.ts';

const letters = (text: string) => Uint8Array.from(text, (letter) => letter.charCodeAt(0));

/** A page of text and constants with the version, and one of data; addresses at 0x1000100, 0x1000200, 0x1001010. */
function image(): PlainSegment[] {
  const text = new Uint8Array(0x1000);
  text.set(letters('Linux version %s\0Linux version 6.1.0-56-test (builder) \0'), 0x300);
  const view = new DataView(text.buffer);
  view.setBigUint64(0x100, 0xffff_ffff_8100_1010n, true);
  view.setInt32(0x200, -0x7f00_0000 + 0x300, true);
  view.setInt32(0x204, 0x55, true);
  const data = new Uint8Array(0x1000);
  new DataView(data.buffer).setBigUint64(0x10, 0xffff_ffff_8100_0300n, true);
  return [
    { at: 0x100_0000, bytes: text, flags: 5 },
    { at: 0x100_1000, bytes: data, flags: 6 },
    { at: 0x100_2000, bytes: new Uint8Array(16), flags: 7 },
  ];
}
const PLACES = { words: [0x100_0100, 0x100_1010], halves: [0x100_0200], inverse: [0x100_0204] };

describe('a vmlinux', () => {
  test('has its segments where they were linked, by what they are, and its release', () => {
    const { segments, release } = parseVmlinux(buildVmlinux(image(), PLACES));
    expect(segments.map(({ address, kind }) => [address, kind])).toEqual([
      [0xffff_ffff_8100_0000n, 'text'],
      [0xffff_ffff_8100_1000n, 'data'],
      [0xffff_ffff_8100_2000n, 'init'],
    ]);
    expect(release).toBe('6.1.0-56-test');
  });

  test('has its build id, which is told among notes of any length', () => {
    const note = (name: string, type: number, bytes: readonly number[]) => [
      ...[name.length + 1, bytes.length, type].flatMap((word) => [word, 0, 0, 0]),
      ...letters(name.padEnd(Math.ceil((name.length + 1) / 4) * 4, '\0')),
      ...bytes,
      ...new Array((4 - (bytes.length % 4)) % 4).fill(0),
    ];
    const id = Array.from({ length: 20 }, (_, index) => index * 10);
    const notes = [...note('Linux', 3, [1, 2, 3, 4, 5]), ...note('GNU', 1, [9]), ...note('GNU', 3, id)];
    const withNotes = (bytes: readonly number[]) => {
      const file = buildVmlinux([
        ...image(),
        { at: 0x100_3000, bytes: Uint8Array.from(bytes), flags: 5 as const },
      ]);
      new DataView(file.buffer).setUint32(64 + 3 * 56, 4, true);
      return parseVmlinux(file);
    };
    expect(withNotes(notes).buildId).toBe('000a141e28323c46505a646e78828c96a0aab4be');
    expect(withNotes(notes).segments.length).toBe(3);
    for (const cut of [0, 11, notes.length - 1])
      expect(withNotes(notes.slice(0, cut)).buildId).toBeUndefined();
    expect(parseVmlinux(buildVmlinux(image())).buildId).toBeUndefined();
  });

  test.each([
    ['with', PLACES],
    ['without', { words: PLACES.words, halves: PLACES.halves }],
  ])('is moved as KASLR does it, %s a list of distances to what does not move', (name, places) => {
    const moved = moveImage(parseVmlinux(buildVmlinux(image(), places)), 0x20_0000);
    const [text, data] = moved.segments.map(({ bytes }) => new DataView(bytes.buffer));
    expect(moved.segments[0]?.address).toBe(0xffff_ffff_8120_0000n);
    expect(text?.getBigUint64(0x100, true)).toBe(0xffff_ffff_8120_1010n);
    expect(text?.getUint32(0x200, true)).toBe(0x8120_0300);
    expect(text?.getInt32(0x204, true)).toBe(name === 'with' ? 0x55 - 0x20_0000 : 0x55);
    expect(data?.getBigUint64(0x10, true)).toBe(0xffff_ffff_8120_0300n);
  });

  test('is not moved where it does not say what changes, and leaves the file as it was', () => {
    const bytes = buildVmlinux(image());
    expect(() => moveImage(parseVmlinux(bytes), 0x20_0000)).toThrow(
      'no table of relocations, and KASLR moved the kernel',
    );
    expect(moveImage(parseVmlinux(bytes), 0).segments[0]?.bytes).toEqual(image()[0]?.bytes);
    const whole = buildVmlinux(image(), PLACES);
    const before = whole.slice();
    moveImage(parseVmlinux(whole), 0x20_0000);
    expect(whole).toEqual(before);
    const outside = { ...PLACES, words: [0x200_0000] };
    expect(() => moveImage(parseVmlinux(buildVmlinux(image(), outside)), 0x20_0000)).toThrow(
      'is outside of the image',
    );
  });

  test('that is damaged is read or refused in words', () => {
    const bytes = buildVmlinux(image(), PLACES);
    const edit = fc.tuple(
      fc.oneof(fc.nat(300), fc.nat(bytes.length - 1)),
      fc.oneof(fc.constantFrom(0, 0x7f, 0xff), fc.nat(255)),
    );
    fc.assert(
      fc.property(fc.array(edit, { maxLength: 5 }), fc.nat(bytes.length), (edits, length) => {
        const hostile = bytes.slice(0, length);
        for (const [at, value] of edits) if (at < length) hostile[at] = value;
        try {
          moveImage(parseVmlinux(hostile), 0x20_0000);
        } catch (error) {
          expect(error).toBeInstanceOf(KernelImageError);
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe('a bzImage', () => {
  test.each([
    ['lz4', [2, 0x21, 0x4c, 0x18]],
    ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0]],
    ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
  ] as const)('has a payload that is packed by %s, without the length behind it', (compression, magic) => {
    const payload = Uint8Array.of(...magic, 1, 2, 3, 4, 5, 6, 7);
    const bytes = buildBzImage(payload, 4321);
    expect(isBzImage(bytes)).toBe(true);
    expect(bzImagePayload(bytes)).toEqual({ compression, bytes: payload, unpackedBytes: 4321 });
  });

  test('is refused with another payload, a bomb, and where it is cut short', () => {
    expect(() => bzImagePayload(buildBzImage(Uint8Array.of(9, 9, 9, 9, 9, 9), 10))).toThrow('0x090909090909');
    const payload = Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 1, 2, 3, 4);
    expect(() => bzImagePayload(buildBzImage(payload, 2 ** 30))).toThrow('would unpack to 1073741824 bytes');
    expect(() => bzImagePayload(buildBzImage(payload, 100).subarray(0, 1125))).toThrow('is cut short');
    expect(isBzImage(new Uint8Array(10))).toBe(false);
  });
});

describe('a Debian package', () => {
  const file = Uint8Array.of(1, 2, 3);
  const bytes = buildPackage('./boot/vmlinuz-6.1', file);
  /** In chunks of `size` bytes. */
  const reader = (whole: Uint8Array, size = 7) =>
    createByteReader(
      (async function* () {
        for (let at = 0; at < whole.length; at += size) yield whole.subarray(at, at + size);
      })(),
    );

  test.each([1, 7, 600, 10_000])('gives its kernel, however it comes (%i bytes at a time)', async (size) => {
    expect(isDebianPackage(bytes)).toBe(true);
    const all = reader(bytes, size);
    const data = await packageData(all);
    expect(data.name).toBe('data.tar');
    const tar = createByteReader(all.part(data.size));
    const kernel = await fileOfTar(tar, /^\.\/boot\/vmlinuz-/);
    expect(kernel).toEqual({ name: './boot/vmlinuz-6.1', size: 3 });
    expect(await tar.peek(2)).toEqual(file.subarray(0, 2));
    expect(await tar.take(kernel.size)).toEqual(file);
  });

  test('is refused without one, and where it is cut short', async () => {
    const all = reader(bytes);
    const { size } = await packageData(all);
    const tar = await all.take(size);
    await expect(fileOfTar(reader(tar), /initrd/)).rejects.toThrow('holds no kernel');
    await expect(fileOfTar(reader(tar.subarray(0, 511)), /vmlinuz/)).rejects.toThrow('holds no kernel');
    await expect(packageData(reader(bytes.subarray(0, 69)))).rejects.toThrow('cut short');
    await expect(packageData(reader(letters('!<arch>\n')))).rejects.toThrow('has no data.tar');
  });

  test.each(['9999999999', '-1        ', '1e9       ', '          '])(
    'is refused with a member of %j bytes',
    async (size) => {
      const lie = bytes.slice();
      lie.set(letters(size), 8 + 48);
      await expect(packageData(reader(lie))).rejects.toThrow(KernelImageError);
    },
  );
});

test('of an ELF file its headers tell how much is loaded', () => {
  const bytes = buildVmlinux(image(), PLACES);
  const loaded = loadedBytes(bytes) ?? 0;
  const { segments, relocations } = parseVmlinux(bytes.subarray(0, loaded));
  expect(segments).toEqual(parseVmlinux(bytes).segments);
  expect(relocations).toBeUndefined();
  expect(() => parseVmlinux(bytes.subarray(0, loaded - 1))).toThrow('does not end in the file');
  expect(loadedBytes(bytes.subarray(0, 100))).toBeUndefined();
});

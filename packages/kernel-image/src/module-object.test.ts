import { virtualAddress } from '@heki/physical-memory';
import { expect, test } from 'vitest';
import { parseModule, placeModule } from './module-object.ts';
import { buildModule } from './testing/build-module.ts';

const TEXT = 0xffff_ffff_c000_0000n;
const DATA = 0xffff_ffff_c000_2000n;
const OUTSIDE = 0xffff_ffff_8100_0000n;

const file = buildModule({
  sections: [
    { name: '.text', flags: 6, bytes: new Uint8Array(32) },
    { name: '.rodata', flags: 2, bytes: new Uint8Array(16) },
    { name: '.comment', flags: 0, bytes: Uint8Array.of(1) },
  ],
  symbols: [
    { name: 'own', section: 1, value: 4n, isGlobal: true },
    { name: 'kernel_function', section: 0, value: 0n, isGlobal: true },
    { name: 'nobody_has_it', section: 0, value: 0n, isGlobal: true },
  ],
  relocations: [
    // CALL of the kernel's, an absolute address of its own, a field that nobody knows.
    { section: 1, offset: 1, type: 4, symbol: 2, addend: -4n },
    { section: 2, offset: 0, type: 1, symbol: 1, addend: 2n },
    { section: 1, offset: 8, type: 11, symbol: 3, addend: 0n },
  ],
});
const places = new Map([
  ['.text', virtualAddress(TEXT)],
  ['.rodata', virtualAddress(DATA)],
]);

test('a module is laid out and relocated where its sections were put', () => {
  const placed = placeModule(
    parseModule(file),
    (name) => places.get(name),
    (name) => (name === 'kernel_function' ? OUTSIDE : undefined),
  );
  expect(placed.sections.map(({ name, address, size }) => [name, address, size])).toEqual([
    ['.text', TEXT, 32],
    ['.rodata', DATA, 16],
  ]);
  const [text, rodata] = placed.segments.map(({ bytes }) => new DataView(bytes.buffer));
  expect(text?.getInt32(1, true)).toBe(Number(OUTSIDE - (TEXT + 5n)));
  expect(rodata?.getBigUint64(0, true)).toBe(TEXT + 6n);
  expect(placed.symbols).toEqual([{ name: 'own', address: TEXT + 4n, isGlobal: true }]);
  expect(placed.unresolved).toEqual([{ address: TEXT + 8n, size: 4 }]);
});

test('a section that was put nowhere is left out, and what refers to it unresolved', () => {
  const placed = placeModule(
    parseModule(file),
    (name) => (name === '.rodata' ? places.get(name) : undefined),
    () => undefined,
  );
  expect(placed.sections.map(({ name }) => name)).toEqual(['.rodata']);
  expect(placed.unresolved).toEqual([{ address: DATA, size: 8 }]);
});

test('what is no module, or is cut short, is refused', () => {
  expect(() => parseModule(new Uint8Array(100))).toThrow('not a module');
  expect(() => parseModule(file.subarray(0, file.length - 1))).toThrow('not in the file');
});

import { expect, test } from 'vitest';
import { parseSystemMap } from './system-map.ts';

test('a System.map and a kallsyms are read, without what is of modules', () => {
  const table = parseSystemMap(
    'ffffffff81000000 T _text\nffffffff81000040 t a.isra.0\nffffffffc0000000 t init_module\t[xfs]\n',
  );
  expect([...table].map(({ name, type }) => `${type} ${name}`)).toEqual(['T _text', 't a.isra.0']);
});

test("Debian's stub is named for what it is", () => {
  const stub =
    'ffffffffffffffff B The real System.map is in the linux-image-6.1.0-56-cloud-amd64-dbg package\n';
  expect(() => parseSystemMap(stub)).toThrow(
    "this is Debian's stub of a System.map, without symbols: the real one is in the package linux-image-6.1.0-56-cloud-amd64-dbg",
  );
});

test.each([
  ['', 'no symbols'],
  ['ffffffff81000000 T _text\nnonsense\n', 'line 2 is not a symbol'],
  [`ffffffff81000000 T ${'a'.repeat(4097)}`, 'line 1 has a name of 4097 characters: expected at most 4096'],
  ['0000000000000000 T _text\n0000000000000000 T _stext\n', 'all addresses are zero'],
])('%.40j is refused: %s', (text, why) => {
  expect(() => parseSystemMap(text)).toThrow(why);
});

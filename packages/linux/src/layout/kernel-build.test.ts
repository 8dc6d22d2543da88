import { describe, expect, test } from 'vitest';
import { buildFromSymbols, DEBIAN_6_1, imageSections, LinuxError } from '../index.ts';
import { readFixture } from '../testing/fixture.ts';

describe.each(['k61-256-nokaslr', 'k61-256-kaslr', 'k61-256-la57-kaslr'])('the symbols of %s', (name) => {
  test('give the build that comes with the package, wherever that kernel was running', () => {
    expect(readFixture(name).build).toEqual(DEBIAN_6_1);
  });
});

test('the sections of an image follow one another without holes', () => {
  const sections = imageSections(DEBIAN_6_1);
  let at = 0;
  for (const { start, end } of sections) {
    expect(start).toBe(at);
    expect(end).toBeGreaterThan(start);
    at = end;
  }
  expect(at).toBe(21 * 2 ** 21);
  expect(sections.map(({ name }) => name)).toContain('text/rodata gap');
});

const symbols: Record<string, string> = {
  _text: '0xffffffff81000000',
  _etext: '0xffffffff81200100',
  __start_rodata: '0xffffffff81400000',
  __end_rodata: '0xffffffff81500000',
  _sdata: '0xffffffff81600000',
  init_top_pgt: '0xffffffff81601000',
  _edata: '0xffffffff81700100',
  __init_begin: '0xffffffff81800000',
  __init_end: '0xffffffff81900000',
  __bss_start: '0xffffffff81902000',
  idt_table: '0xffffffff81903000',
  __bss_stop: '0xffffffff81e00000',
  _end: '0xffffffff81f00000',
};

describe('symbols of another kernel', () => {
  test('make a build of their own', () => {
    const { offsets } = buildFromSymbols('mine', symbols);
    expect(offsets.__nosave_begin).toBe(0x90_1000);
    expect(offsets.__start_bss_decrypted).toBe(0xc0_0000);
  });

  test.each([
    ['_etext', undefined, 'the symbols of mine lack _etext'],
    [
      '_etext',
      '0xffffffff81500000',
      '__start_rodata of mine is at offset 0x400000: expected it at or behind _etext, 0x500000',
    ],
    [
      '__start_rodata',
      '0xffffffff81401000',
      '__start_rodata of mine is at offset 0x401000: expected it on a page',
    ],
    ['_end', '0xffffffff81e01000', '12 pages of .brk of mine reach beyond _end, 0xe01000'],
  ])('are refused when %s is %s', (name, value, message) => {
    const { [name]: _, ...others } = symbols;
    const changed = value === undefined ? others : { ...symbols, [name]: value };
    expect(() => buildFromSymbols('mine', changed)).toThrow(LinuxError);
    expect(() => buildFromSymbols('mine', changed)).toThrow(message);
  });
});

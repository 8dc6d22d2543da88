import { virtualAddress } from '@heki/physical-memory';
import { symbolTableOf } from '@heki/symbols';
import { expect, test } from 'vitest';
import { codeByLists, isOfThunks } from './listed-code.ts';

const CODE = 0xffff_ffff_c000_0000n;
const FIRST = 0xf_ffff_fffc_0000;
const at = (offset: number) => virtualAddress(CODE + BigInt(offset));
const range = (start: number, end: number) => ({ start: at(start), end: at(end) });
const pages = (start: number, end: number) => ({ start: FIRST + start, end: FIRST + end });

/** One function a page, each of which vmalloc's caller may be. */
const FUNCTIONS = [
  'move_module',
  'load_module.constprop.0',
  'bpf_prog_alloc_no_stats',
  'driver_makes_code',
  'bpfilter_init',
  'apply_retpolines',
];
const TEXT = 0xffff_ffff_8100_0000n;
const SYMBOLS = symbolTableOf(
  FUNCTIONS.map((name, index) => ({
    name,
    type: 't',
    address: virtualAddress(TEXT + BigInt(index * 0x1000)),
  })),
);
/** Behind a call in the function of that name. */
const callerIn = (name: string) => virtualAddress(TEXT + BigInt(FUNCTIONS.indexOf(name) * 0x1000 + 0x123));
const NOTHING = { modules: [], bpf: [] };

test('text of modules, programs and what the kernel made are listed by whole pages; data of modules is not', () => {
  const loaded = {
    modules: [
      {
        name: 'ext4',
        address: at(0x5000),
        parts: [
          { kind: 'text' as const, ...range(0, 0x1801) },
          { kind: 'init-text' as const, ...range(0x2000, 0x3000) },
          { kind: 'rodata' as const, ...range(0x3000, 0x4000) },
          { kind: 'data' as const, ...range(0x4000, 0x6000) },
        ],
        sections: [],
        symbols: symbolTableOf([]),
      },
    ],
    bpf: [{ name: 'bpf_prog_6deef7357e7b4530', ...range(0x8010, 0x8011) }],
  };
  const generated = [{ what: 'ftrace trampoline' as const, ...range(0x9ff0, 0xa001) }];
  expect(codeByLists(loaded, { generated, areas: [] }, SYMBOLS, () => false)).toEqual({
    ranges: [pages(0, 2), pages(2, 3), pages(9, 11), pages(8, 9)],
    bpf: [pages(8, 9)],
    areas: [],
  });
});

test.each([
  ['move_module', true],
  ['load_module.constprop.0', true],
  ['driver_makes_code', false],
  ['bpfilter_init', false],
])('an area that %s asked for is of a module: %s', (caller, isModule) => {
  const areas = [{ ...range(0x1000, 0x4000), caller: callerIn(caller) }];
  expect(codeByLists(NOTHING, { generated: [], areas }, SYMBOLS, () => false)).toEqual({
    ranges: [],
    bpf: [],
    areas: [{ ...pages(1, 4), isModule }],
  });
});

test('an area that bpf_ functions asked for is a program that no list has; one of which nothing tells is no code that is listed', () => {
  const areas = [
    { ...range(0x1000, 0x3000), caller: callerIn('bpf_prog_alloc_no_stats') },
    { ...range(0x3000, 0x4000), caller: undefined },
    { ...range(0x4000, 0x5000), caller: virtualAddress(TEXT - 1n) },
  ];
  const { ranges, bpf, areas: told } = codeByLists(NOTHING, { generated: [], areas }, SYMBOLS, () => false);
  expect(ranges).toEqual([pages(1, 3)]);
  expect(bpf).toEqual(ranges);
  expect(told.map(({ isModule }) => isModule)).toEqual([false, false, false]);
});

test('where eBPF has packs, an area of its own is none of its programs', () => {
  const packs = symbolTableOf([
    ...SYMBOLS,
    { name: 'pack_list', type: 'd', address: virtualAddress(TEXT + 0x10_0000n) },
  ]);
  const areas = [{ ...range(0x1000, 0x3000), caller: callerIn('bpf_prog_alloc_no_stats') }];
  expect(codeByLists(NOTHING, { generated: [], areas }, packs, () => false).ranges).toEqual([]);
});

const THUNKS = [0xcc, 0xff, 0xe0, 0xcc, 0x41, 0xff, 0xe3, 0xcc, 0xcc];

test.each([
  ['int3 and jumps through registers', THUNKS, true],
  ['a jump in memory', [...THUNKS, 0xff, 0x20], false],
  ['a call', [...THUNKS, 0xff, 0xd0], false],
  ['half a jump', [...THUNKS, 0x41, 0xff], false],
  ['code', [0x55, ...THUNKS], false],
])('a page of thunks has %s: %s', (_, bytes, expected) => {
  expect(isOfThunks(Uint8Array.from(bytes))).toBe(expected);
});

test.each([
  ['apply_retpolines', true, true],
  ['apply_retpolines', false, false],
  ['driver_makes_code', true, false],
])(
  'a page that %s asked for is one of thunks, if it has nothing else (%s): %s',
  (caller, isThunks, isListed) => {
    const areas = [{ ...range(0x1000, 0x3000), caller: callerIn(caller) }];
    const { ranges } = codeByLists(NOTHING, { generated: [], areas }, SYMBOLS, () => isThunks);
    expect(ranges).toEqual(isListed ? [pages(1, 2)] : []);
  },
);

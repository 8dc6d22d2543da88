import { type VirtualFrame, virtualAddress } from '@heki/physical-memory';
import { expect, it } from 'vitest';
import { proveKernelRoot } from '../root/proven-root.ts';
import { buildKernel, PLAN } from '../testing/built-kernel.ts';
import { imageSections } from './image-sections.ts';

const kernel = buildKernel(PLAN);
const root = proveKernelRoot({
  memory: kernel.memory,
  root: kernel.kernelRoots.swapper,
  levels: 4,
  encryptionBit: undefined,
});
const distance = kernel.text - kernel.textFrame;
/** Of the image, from its first page on. */
const range = (start: number, end: number) => ({
  start: (kernel.text + start) as VirtualFrame,
  end: (kernel.text + end) as VirtualFrame,
});

it('takes the image from the memory map by the names of its lines, through to the last of them', () => {
  const lines = [
    '00000000-02ffffff : System RAM',
    '  01000000-010f47ff : Kernel code',
    '  01100000-0117FFFF : Kernel rodata ',
    '  01200000-012fffff : Kernel data',
    '  01300000-013fffff : Kernel bss',
    '  01300000-013fffff : Kernel code that is none',
  ];
  const told = { distance, from: 'memory-map' };
  const text = range(0, 0xf5);
  const rodata = range(0x100, 0x180);
  const of = (...left: number[]) => imageSections(root, { iomem: left.map((at) => lines[at] ?? '') });
  expect(of(0, 1, 2, 3, 4, 5)).toEqual({ ...told, image: range(0, 0x400), text, rodata });
  expect(of(1, 2, 3)).toMatchObject({ ...told, image: range(0, 0x300) });
  expect(of(1, 2)).toMatchObject({ ...told, image: range(0, 0x180), rodata });
  expect(of(1)).toEqual({ ...told, image: text, text, rodata: undefined });
  // Without the text, or with lines that are none, the mappings tell.
  expect(of(0, 2, 3, 4).from).toBe('page-tables');
  for (const line of [
    '1000000 : Kernel code',
    'g000000-010f47ff : Kernel code',
    '02000000-01ffffff : Kernel code',
  ])
    expect(imageSections(root, { iomem: [line] }).from).toBe('page-tables');
});

it('believes symbols before the memory map', () => {
  const at = (frame: number, offset = 0n) => virtualAddress((BigInt(kernel.text + frame) << 12n) + offset);
  const symbols = new Map([
    ['_stext', at(0)],
    ['_etext', at(0xf4, 0x800n)],
    ['__start_rodata', at(0x100)],
    ['__end_rodata', at(0x180)],
    ['_end', at(0x3ff, 1n)],
  ]);
  expect(imageSections(root, { symbols, iomem: ['01000000-01000fff : Kernel code'] })).toEqual({
    image: range(0, 0x400),
    text: range(0, 0xf5),
    rodata: range(0x100, 0x180),
    distance,
    from: 'symbols',
  });
});

import { createMemoryMap, type Gfn, gfn } from '@heki/physical-memory';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createLayout, DEBIAN_6_1, LinuxError } from '../index.ts';
import { SMALL_MEMORY } from '../testing/running-kernel.ts';
import { imageSections } from './kernel-build.ts';
import { CPU_ENTRY_AREA } from './layout.ts';

const build = DEBIAN_6_1;
const address = (frame: number): string => `0x${(BigInt(frame) << 12n).toString(16)}`;

describe('the address space without KASLR', () => {
  test('is that of Documentation/arch/x86/x86_64/mm.rst with 4 levels', () => {
    const layout = createLayout({ levels: 4, build, memoryMap: SMALL_MEMORY });
    expect(address(layout.directMap)).toBe('0xffff888000000000');
    expect(address(layout.vmalloc.start)).toBe('0xffffc90000000000');
    expect(address(layout.vmalloc.end)).toBe('0xffffe90000000000');
    expect(address(layout.vmemmap)).toBe('0xffffea0000000000');
    expect(address(layout.text)).toBe('0xffffffff81000000');
    expect(layout.textFrame).toBe(0x1000);
  });

  test('is none with other than 4 or 5 levels', () => {
    expect(() => createLayout({ levels: 3 as never, build, memoryMap: SMALL_MEMORY })).toThrow('3 levels');
  });

  test('is that of mm.rst with 5 levels', () => {
    const layout = createLayout({ levels: 5, build, memoryMap: SMALL_MEMORY });
    expect(address(layout.directMap)).toBe('0xff11000000000000');
    expect(address(layout.vmalloc.start)).toBe('0xffa0000000000000');
    expect(address(layout.vmalloc.end)).toBe('0xffd2000000000000');
    expect(address(layout.vmemmap)).toBe('0xffd4000000000000');
  });

  test('begins the modules behind 1 GiB for the image with RANDOMIZE_BASE, behind 512 MiB without', () => {
    const start = (randomizeBase: boolean): string =>
      address(
        createLayout({ levels: 4, build: { ...build, randomizeBase }, memoryMap: SMALL_MEMORY }).modules
          .start,
      );
    expect(start(true)).toBe('0xffffffffc0000000');
    expect(start(false)).toBe('0xffffffffa0000000');
  });
});

describe('the address space with KASLR', () => {
  const bigMemory = createMemoryMap<Gfn>([
    { start: gfn(0x100), end: gfn(0xc0000), type: 'ram' },
    { start: gfn(0x100000), end: gfn(0x240000), type: 'ram' },
  ]);
  const imageFrames = (imageSections(build).at(-1)?.end ?? 0) / 4096;

  test('keeps its regions apart, in order and on 1 GiB, and the image in one stretch of RAM', () => {
    fc.assert(
      fc.property(fc.nat(), fc.constantFrom(4 as const, 5 as const), (kaslrSeed, levels) => {
        const options = { levels, build, memoryMap: bigMemory, kaslrSeed };
        const layout = createLayout(options);
        expect(createLayout(options)).toEqual(layout);
        const { directMap, vmalloc, vmemmap, modules } = layout;
        const plain = createLayout({ levels, build, memoryMap: bigMemory });
        for (const base of [directMap, vmalloc.start, vmemmap]) expect(base % 2 ** 18).toBe(0);
        expect(directMap).toBeGreaterThanOrEqual(plain.directMap);
        expect(vmalloc.start).toBeGreaterThan(directMap + bigMemory.ramEnd);
        expect(vmalloc.end - vmalloc.start).toBe(plain.vmalloc.end - plain.vmalloc.start);
        expect(vmemmap).toBeGreaterThan(vmalloc.end);
        expect(vmemmap + bigMemory.ramEnd / 64).toBeLessThan(CPU_ENTRY_AREA);
        expect(layout.text % 512).toBe(0);
        expect(layout.text).toBeGreaterThanOrEqual(plain.text);
        expect(layout.text + imageFrames).toBeLessThanOrEqual(modules.start);
        expect(layout.textFrame).toBeGreaterThanOrEqual(0x1000);
        for (const frame of [layout.textFrame, layout.textFrame + imageFrames - 1]) {
          expect(bigMemory.isRam(gfn(frame))).toBe(true);
        }
        expect(layout.textFrame < 0xc0000).toBe(layout.textFrame + imageFrames <= 0xc0000);
        expect(layout.moduleOffset).toBeGreaterThan(0);
      }),
    );
  });

  test('differs from seed to seed', () => {
    const texts = new Set<number>();
    const bases = new Set<number>();
    for (let kaslrSeed = 0; kaslrSeed < 40; kaslrSeed++) {
      const layout = createLayout({ levels: 4, build, memoryMap: bigMemory, kaslrSeed });
      texts.add(layout.text);
      bases.add(layout.directMap);
    }
    expect(texts.size).toBeGreaterThan(30);
    expect(bases.size).toBe(40);
  });

  test('needs a kernel that was built for it', () => {
    const fixed = { ...build, randomizeBase: false };
    expect(() => createLayout({ levels: 4, build: fixed, memoryMap: bigMemory, kaslrSeed: 1 })).toThrow(
      LinuxError,
    );
  });
});

test('memory without room for the image is refused', () => {
  const memoryMap = createMemoryMap<Gfn>([{ start: gfn(0x100), end: gfn(0x2000), type: 'ram' }]);
  expect(() => createLayout({ levels: 4, build, memoryMap })).toThrow(
    'no room for an image of 10752 pages at 16 MiB',
  );
});

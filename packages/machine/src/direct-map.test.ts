import { findDirectMap } from '@heki/guest';
import { createRam, gfn, virtualAddress, virtualFrameOf } from '@heki/physical-memory';
import { describe, expect, test } from 'vitest';
import { findTargets } from './attacks/targets.ts';
import { directlyMapped } from './direct-map.ts';
import { SMALL_KERNEL, smallKernel } from './testing/small-kernel.ts';

const { text, data } = SMALL_KERNEL;
const MOVED = virtualAddress(0xffff_91c0_c000_0000n);

describe('the direct map', () => {
  test('is found wherever KASLR put it, with 4 and 5 levels', () => {
    for (const levels of [4, 5] as const) {
      const found = findDirectMap({ ...smallKernel({ levels, directMap: MOVED }), validFrames: [] });
      expect(found?.start).toBe(virtualFrameOf(MOVED));
    }
  });

  test('tells which memory the kernel has', () => {
    const kernel = smallKernel({ directMap: MOVED });
    expect(directlyMapped(kernel, kernel.directMapAt)).toEqual([{ start: 0, end: SMALL_KERNEL.ramFrames }]);
  });

  test('is not found in empty page tables', () => {
    const memory = createRam({ ranges: [{ start: gfn(0), end: gfn(1) }] });
    expect(findDirectMap({ memory, root: gfn(0), levels: 4, validFrames: [] })).toBeUndefined();
  });
});

describe('the targets of the attacks', () => {
  test('are named by symbols', () => {
    const symbols = new Map([
      ['_stext', virtualAddress(text + 0x1040n)],
      ['init_uts_ns', virtualAddress(data + 0x60n)],
    ]);
    expect(findTargets({ ...smallKernel({ directMap: MOVED }), symbols })).toEqual({
      directMap: MOVED,
      text: text + 0x1040n,
      textAlias: MOVED + 0x1001040n,
      data: data + 0x60n,
    });
  });

  test('are chosen by the mappings when symbols are missing or point elsewhere', () => {
    const wrong = new Map([
      ['_stext', data],
      ['_sdata', text],
    ]);
    for (const symbols of [new Map(), wrong]) {
      const targets = findTargets({ ...smallKernel(), symbols });
      expect(targets).toMatchObject({ text, data });
    }
  });

  test('leave alone what the snapshot has of the data, because it may be page tables', () => {
    const kernel = smallKernel();
    const { memory } = kernel;
    const partial = {
      ...memory,
      page: (frame: number) =>
        frame >= 0x1400 && frame < 0x1403
          ? memory.page(gfn(0))
          : frame >= 0x3000
            ? memory.page(gfn(frame))
            : undefined,
    };
    expect(findTargets({ ...kernel, memory: partial }).data).toBe(data + 0x3000n);
  });

  test('have no alias where the direct map would end behind the last address', () => {
    const kernel = smallKernel();
    const directMap = virtualFrameOf(virtualAddress(0xffff_ffff_ff80_0000n));
    expect(findTargets({ ...kernel, directMap })).toMatchObject({ text, textAlias: undefined });
  });

  test('are absent where there is no kernel image', () => {
    const memory = createRam({ ranges: [{ start: gfn(0), end: gfn(1) }] });
    expect(findTargets({ memory, root: gfn(0), levels: 4 })).toEqual({
      directMap: undefined,
      text: undefined,
      textAlias: undefined,
      data: undefined,
    });
  });
});

import { gfn, type PhysicalMemory, virtualAddress } from '@heki/physical-memory';
import { proveKernelRoot } from '@heki/vmcore';
import { describe, expect, test } from 'vitest';
import { SMALL_KERNEL, smallKernel } from '../testing/small-kernel.ts';
import { findTargets } from './targets.ts';

const { text, data } = SMALL_KERNEL;
const MOVED = virtualAddress(0xffff_91c0_c000_0000n);

describe('the targets of the attacks', () => {
  test('are named by symbols', () => {
    const symbols = new Map([
      ['_stext', virtualAddress(text + 0x1040n)],
      ['init_uts_ns', virtualAddress(data + 0x60n)],
    ]);
    for (const levels of [4, 5] as const) {
      expect(findTargets(smallKernel({ levels, directMap: MOVED }).kernel, symbols)).toEqual({
        directMap: MOVED,
        text: text + 0x1040n,
        textAlias: MOVED + 0x1001040n,
        data: data + 0x60n,
        symbols,
      });
    }
  });

  test('are chosen by the mappings when symbols are missing or point elsewhere', () => {
    const wrong = new Map([
      ['_stext', data],
      ['_sdata', text],
    ]);
    for (const symbols of [new Map(), wrong]) {
      expect(findTargets(smallKernel().kernel, symbols)).toMatchObject({ text, data });
    }
  });

  test('leave alone what the snapshot has of the data, because it may be page tables', () => {
    const { memory, root, levels } = smallKernel();
    const partial: PhysicalMemory<ReturnType<typeof gfn>> = {
      ...memory,
      page: (frame) =>
        frame >= 0x1400 && frame < 0x1403
          ? memory.page(gfn(0))
          : frame >= 0x3000
            ? memory.page(gfn(frame))
            : undefined,
    };
    const kernel = proveKernelRoot({ memory: partial, root, levels });
    expect(findTargets(kernel).data).toBe(data + 0x3000n);
  });
});

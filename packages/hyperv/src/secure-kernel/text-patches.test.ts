import { encodeLvbsTextPatch, LVBS_TEXT_PATCH_SIZE, type LvbsTextPatch } from '@heki/hypercall/hyperv';
import type { Gpa } from '@heki/physical-memory';
import { describe, expect, test } from 'vitest';
import { lvbsDefectSwitches } from '../defects/lvbs-defects.ts';
import { createTextPatches } from './text-patches.ts';

const BYTES = Uint8Array.of(0xe9, 1, 2, 3, 4);
const patchAt = (pa: number, secondPa = 0): LvbsTextPatch => ({
  pa: pa as Gpa,
  secondPa: secondPa as Gpa,
  bytes: BYTES,
});
const create = () => createTextPatches(lvbsDefectSwitches('hardened', undefined));

/** Patches one behind the other, in `size` bytes. */
function listed(patches: readonly LvbsTextPatch[], size = patches.length * LVBS_TEXT_PATCH_SIZE): Uint8Array {
  const bytes = new Uint8Array(size);
  for (const [i, patch] of patches.entries()) bytes.set(encodeLvbsTextPatch(patch), i * LVBS_TEXT_PATCH_SIZE);
  return bytes;
}

describe('a list of patches', () => {
  const patches = [patchAt(0x1000), patchAt(0x2000), patchAt(0x3000)];

  test('is read to its last record when it is full', () => {
    expect(create().read(listed(patches))).toEqual(patches);
    expect(create().read(listed(patches.slice(0, 1)))).toEqual(patches.slice(0, 1));
  });

  test('ends at a record without a length, and where no whole record is left', () => {
    const longer = listed(patches, 5 * LVBS_TEXT_PATCH_SIZE);
    longer.set(encodeLvbsTextPatch(patchAt(0x9000)), 4 * LVBS_TEXT_PATCH_SIZE);
    expect(create().read(longer)).toEqual(patches);
    expect(create().read(listed(patches).subarray(0, 3 * LVBS_TEXT_PATCH_SIZE - 1))).toEqual(
      patches.slice(0, 2),
    );
    expect(create().read(new Uint8Array())).toEqual([]);
  });

  test('is invalid when a record in it is invalid', () => {
    // It straddles, and says nothing of the second page.
    expect(create().read(listed([patchAt(0x1000), patchAt(0x1ffe)]))).toBeUndefined();
  });
});

describe('the patches that VTL1 keeps', () => {
  test('are 131,072 at most, and a list that would be too long adds none', () => {
    const patches = create();
    const many = Array.from({ length: 2 ** 17 - 1 }, (_, i) => patchAt(16 * i));
    expect(patches.add(many)).toBe(true);
    expect(patches.add([patchAt(0x1000_0000), patchAt(0x1000_1000)])).toBe(false);
    expect(patches.save()).toHaveLength(2 ** 17 - 1);
    expect(patches.add([patchAt(0x1000_0000)])).toBe(true);
    expect(patches.add([patchAt(0x1000_1000)])).toBe(false);
  });

  test('go with any byte of theirs, on either page', () => {
    const kept = (start: number, end: number): number[] => {
      const patches = create();
      patches.add([patchAt(0x1100), patchAt(0x1ffe, 0x7000), patchAt(0x3000)]);
      patches.remove(start, end);
      return patches.save().map(({ pa }) => pa);
    };
    expect(kept(0x1105, 0x1ffe)).toEqual([0x1100, 0x1ffe, 0x3000]);
    expect(kept(0x1104, 0x1105)).toEqual([0x1ffe, 0x3000]);
    expect(kept(0x1fff, 0x2000)).toEqual([0x1100, 0x3000]);
    expect(kept(0x7002, 0x7003)).toEqual([0x1100, 0x3000]);
    expect(kept(0x7003, 0x8000)).toEqual([0x1100, 0x1ffe, 0x3000]);
    // Where the first page goes on, another page lies.
    expect(kept(0x2000, 0x3000)).toEqual([0x1100, 0x1ffe, 0x3000]);
  });
});

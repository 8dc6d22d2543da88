import {
  VIRTUAL_FRAME_END,
  type VirtualFrame,
  virtualAddress,
  virtualAddressOf,
} from '@heki/physical-memory';
import { createKernelNames, symbolTableOf } from '@heki/symbols';
import { resolveKernelRoot } from '@heki/vmcore';
import { openVmcore } from '@heki/vmcore/node';
import { upperHalfStart, walkMappings } from '@heki/x86';
import { afterAll, expect, it } from 'vitest';
import { BUILT_IN_SNAPSHOT } from '../built-in-snapshot.ts';
import { regionText } from '../names/place-text.ts';
import { LeafPlaces } from './leaf-places.ts';

const core = openVmcore(BUILT_IN_SNAPSHOT);
afterAll(() => core.close());
const root = resolveKernelRoot(core);
/** Parts of the image that end in the middle of its large pages, as no linker puts them. */
const names = createKernelNames(root, {
  symbols: symbolTableOf(
    (
      [
        ['_text', 0xffffffff81000000n],
        ['_stext', 0xffffffff81000000n],
        ['_etext', 0xffffffff81203000n],
        ['__start_rodata', 0xffffffff81205000n],
        ['__end_rodata', 0xffffffff81207000n],
        ['_end', 0xffffffff82a00000n],
      ] as const
    ).map(([name, address]) => ({ name, address: virtualAddress(address), type: 'T' })),
  ),
  crashKernel: () => [{ start: 0x8123, end: 0x8125 }],
});
const start = upperHalfStart(root.levels);
const end = VIRTUAL_FRAME_END as VirtualFrame;

it('tells of each leaf the region of its first page, and the others that any of its pages lies in', () => {
  const places = new LeafPlaces(names, start, end);
  const told: string[] = [];
  walkMappings(root, start, end, (leaf) => {
    const { virtualFrame, frames } = leaf;
    const regions = Array.from({ length: frames }, (_, page) =>
      regionText(names.at(virtualAddressOf((virtualFrame + page) as VirtualFrame))),
    );
    const [first, ...others] = new Set(regions);
    const place = places.of(leaf);
    expect([place.region, ...place.alsoIn]).toEqual([first, ...others]);
    if (others.length > 0) told.push(`${places.symbolOf(leaf, place)}: ${[first, ...others].join(', ')}`);
  });
  expect(told).toEqual([
    'undefined: direct map, crash kernel',
    '_text+0x200000: kernel text, kernel data, kernel rodata',
  ]);
});

it('keeps to one object while a region goes on', () => {
  const places = new LeafPlaces(names, start, end);
  const seen = new Set<unknown>();
  let leaves = 0;
  walkMappings(root, start, end, (leaf) => {
    leaves++;
    seen.add(places.of(leaf));
  });
  expect(leaves).toBeGreaterThan(11_000);
  expect(seen.size).toBeLessThan(40);
});

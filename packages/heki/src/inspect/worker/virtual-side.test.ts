import { leafRights, type Mapping, rightsText } from '@heki/audit';
import type { Gfn, VirtualFrame } from '@heki/physical-memory';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { virtualSide } from './virtual-side.ts';

const anyLeaf = fc.record({
  gap: fc.constantFrom(0, 0, 1),
  jump: fc.constantFrom(0, 0, 1),
  rights: fc.constantFrom(1, 3, 5),
  low: fc.constantFrom(1, 3),
  places: fc.constantFrom(1, 1, 2),
  region: fc.constantFrom('vmalloc' as const, 'modules' as const),
});

test('stretches say of each page what its leaf says, and are as long as leaves alike lie side by side', () => {
  fc.assert(
    fc.property(fc.array(anyLeaf, { maxLength: 30 }), (leaves) => {
      let [virtual, physical] = [1000, 50];
      const mappings = leaves.map(({ gap, jump, rights, low, places, region }): Mapping => {
        virtual += 1 + gap;
        physical += 1 + jump;
        return {
          virtualFrame: virtual as VirtualFrame,
          guestFrame: physical as Gfn,
          frames: 1,
          level: 1,
          high: 0,
          effective: 0,
          ...{ rights, low, places, region },
        };
      });
      const { stretches, kinds, leaves: number, leftOut } = virtualSide(mappings);
      const pages = stretches.flatMap(({ virtualFrame, frame, pages: length, kind }) =>
        Array.from({ length }, (_, page) => ({ at: virtualFrame + page, to: frame + page, is: kinds[kind] })),
      );
      expect(pages).toEqual(
        mappings.map((mapping) => ({
          at: mapping.virtualFrame,
          to: mapping.guestFrame,
          is: {
            region: mapping.region,
            size: '4K',
            rights: rightsText(mapping.rights),
            leaf: rightsText(leafRights(mapping)),
            isShared: mapping.places > 1,
          },
        })),
      );
      expect([number, leftOut]).toEqual([mappings.length, 0]);
      for (const [index, { virtualFrame, frame, kind }] of stretches.entries()) {
        const before = stretches[index - 1];
        if (before === undefined || before.kind !== kind) continue;
        const touches =
          before.virtualFrame + before.pages === virtualFrame && before.frame + before.pages === frame;
        expect(touches).toBe(false);
      }
    }),
  );
});

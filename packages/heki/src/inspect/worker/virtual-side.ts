import { leafRights, type Mapping, rightsText } from '@heki/audit';
import type { LeafKind, VirtualSide, VirtualStretch } from '@heki/inspector';
import { LEAF_SIZES } from '../../audit/audit-page.ts';

/** Stretches that a page is given: attackers may have any number. */
const MOST_STRETCHES = 2 ** 17;

/** What is mapped, as the page lists it. @param mappings ascending by virtual address */
export function virtualSide(mappings: readonly Mapping[]): VirtualSide {
  const kinds: LeafKind[] = [];
  const numbers = new Map<string, number>();
  const numberOf = (mapping: Mapping): number => {
    const { region, level, places } = mapping;
    const [rights, leaf] = [rightsText(mapping.rights), rightsText(leafRights(mapping))];
    const key = `${region} ${level} ${rights} ${leaf} ${places > 1}`;
    const known = numbers.get(key);
    if (known !== undefined) return known;
    numbers.set(key, kinds.length);
    return kinds.push({ region, size: LEAF_SIZES[level] ?? '', rights, leaf, isShared: places > 1 }) - 1;
  };

  const stretches: VirtualStretch[] = [];
  let leftOut = 0;
  const add = (stretch: VirtualStretch): void => {
    if (stretches.length < MOST_STRETCHES) stretches.push(stretch);
    else leftOut++;
  };
  let last: VirtualStretch | undefined;
  for (const mapping of mappings) {
    const { virtualFrame, guestFrame: frame, frames: pages } = mapping;
    const kind = numberOf(mapping);
    if (
      last?.kind === kind &&
      last.virtualFrame + last.pages === virtualFrame &&
      last.frame + last.pages === frame
    ) {
      last = { ...last, pages: last.pages + pages };
      continue;
    }
    if (last !== undefined) add(last);
    last = { virtualFrame, frame, pages, kind };
  }
  if (last !== undefined) add(last);
  return { stretches, kinds, leaves: mappings.length, leftOut };
}

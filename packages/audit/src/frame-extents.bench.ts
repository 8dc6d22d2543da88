import type { Gfn, VirtualFrame } from '@heki/physical-memory';
import { compare } from '@heki-internal/bench';
import { frameExtents, type Mapping, readKernel } from './index.ts';
import { tamperedKernel } from './testing/tampered-kernel.ts';

/** Pages that the direct map shows, and every other one of them vmalloc, in any order. */
function scattered(pages: number): Mapping[] {
  const mapping = (
    virtualFrame: number,
    guestFrame: number,
    rights: number,
    region: Mapping['region'],
  ): Mapping => ({
    virtualFrame: virtualFrame as VirtualFrame,
    guestFrame: guestFrame as Gfn,
    frames: 1,
    level: 1,
    low: 0,
    high: 0,
    effective: 0,
    places: 1,
    rights,
    region,
  });
  const mappings: Mapping[] = [];
  for (let page = 0; page < pages; page++) mappings.push(mapping(page, page, 3, 'direct map'));
  for (let page = 0; page < pages; page += 2) {
    mappings.push(mapping(pages + page, (page * 7919) % pages, 3, 'vmalloc'));
  }
  return mappings;
}

const allModules = readKernel(tamperedKernel('k61-2g-allmods').subject()).mappings;
const million = scattered(666_667);

await compare({
  title: 'what maps each frame',
  contenders: [
    {
      name: `761 modules, ${allModules.length} leaves`,
      work: { count: allModules.length, of: 'leaves' },
      run: () => frameExtents(allModules).length,
    },
    {
      name: `${million.length} leaves`,
      work: { count: million.length, of: 'leaves' },
      run: () => frameExtents(million).length,
    },
  ],
});

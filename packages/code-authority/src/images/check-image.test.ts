import fc from 'fast-check';
import { expect, test } from 'vitest';
import { imageFault } from './check-image.ts';
import type { CodeImage, Site } from './code-image.ts';

const PAGE = new Uint8Array(4096);

test('sites that overlap are a fault of an image, and those that touch, or lie in different parts, are none', () => {
  const site = fc
    .record({
      part: fc.nat(1),
      offset: fc.nat(80),
      length: fc.constantFrom(1 as const, 2 as const, 5 as const),
    })
    .map(
      ({ part, offset, length }): Site => ({
        kind: length === 1 ? 'lock' : 'jump-label',
        at: { part, offset },
        length,
        key: 'key',
        target: { part, offset: 0 },
      }),
    );
  const overlap = (a: Site, b: Site): boolean =>
    a.at.part === b.at.part && a.at.offset < b.at.offset + b.length && b.at.offset < a.at.offset + a.length;
  fc.assert(
    fc.property(fc.array(site, { maxLength: 8 }), (sites) => {
      const fault = imageFault({
        name: 'image',
        parts: [
          { kind: 'text', bytes: PAGE },
          { kind: 'text', bytes: PAGE },
        ],
        relocations: [],
        sites,
        exports: new Map(),
        changeable: new Set(),
      });
      const overlapping = sites.filter((a, index) =>
        sites.some((b, other) => index !== other && overlap(a, b)),
      );
      if (overlapping.length === 0) expect(fault).toBeUndefined();
      else expect(overlapping.map((one) => `site ${sites.indexOf(one)} overlaps another`)).toContain(fault);
    }),
    { numRuns: 150 },
  );
});

test.each([
  ['of more than a page', 4097, undefined, 'template t has 4097 bytes'],
  ['of nothing', 0, undefined, 'template t has 0 bytes'],
  ['whose branch ends behind it', 6, 3, 'branch at 3, outside its bytes'],
  ['whose branch begins before it', 6, -1, 'branch at -1, outside its bytes'],
  ['that fits', 6, 2, undefined],
])('a template %s', (_, length, at, fault) => {
  const image: CodeImage = {
    name: 'image',
    parts: [{ kind: 'text', bytes: PAGE }],
    relocations: [],
    sites: [],
    exports: new Map(),
    changeable: new Set(),
    templates: new Map([
      ['t', { bytes: new Uint8Array(length), ...(at === undefined ? {} : { branch: { at, targets: [] } }) }],
    ]),
  };
  if (fault === undefined) expect(imageFault(image)).toBeUndefined();
  else expect(imageFault(image)).toContain(fault);
});

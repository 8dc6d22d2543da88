import fc from 'fast-check';
import { expect, test } from 'vitest';
import { imageFault } from './check-image.ts';
import type { Site, Template } from './code-image.ts';

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

test.each<[what: string, template: unknown, fault: string | undefined]>([
  [
    'code with a branch at its end',
    { bytes: new Uint8Array(5), branch: { at: 1, targets: ['f'] } },
    undefined,
  ],
  ['code without one', { bytes: new Uint8Array(4096) }, undefined],
  ['nothing', null, 'template ftrace is not of 1 to 4096 bytes'],
  ['more than a page', { bytes: new Uint8Array(4097) }, 'template ftrace is not of 1 to 4096 bytes'],
  [
    'a branch over its end',
    { bytes: new Uint8Array(5), branch: { at: 2, targets: [] } },
    'template ftrace has a branch at 2, outside it',
  ],
  [
    'a branch to a number',
    { bytes: new Uint8Array(5), branch: { at: 1, targets: [5] } },
    'template ftrace has a branch to what is no name',
  ],
  [
    'a branch that is nothing',
    { bytes: new Uint8Array(5), branch: null },
    'template ftrace has a branch at 0, outside it',
  ],
])('a template may be %s or is a fault', (_, template, fault) => {
  const image = {
    name: 'image',
    parts: [{ kind: 'text' as const, bytes: PAGE }],
    relocations: [],
    sites: [],
    exports: new Map(),
    changeable: new Set<string>(),
    templates: new Map([['ftrace', template as Template]]),
  };
  expect(imageFault(image)).toBe(fault);
});

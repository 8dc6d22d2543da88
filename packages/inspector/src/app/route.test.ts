import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseRoute, walkQueryOf, walkRoute } from './route.ts';

const hex = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map((value) => `0x${value.toString(16)}`);

describe('where one is, as an address', () => {
  test('leads back to the same walk, whatever its address and its edits', () => {
    fc.assert(
      fc.property(
        fc.record({
          address: fc.oneof(hex, fc.string({ minLength: 1, maxLength: 20 })),
          access: fc.constantFrom('read', 'write', 'fetch'),
          user: fc.boolean(),
          cpu: fc.option(fc.nat(63), { nil: undefined }),
          edits: fc.dictionary(hex, hex, { maxKeys: 4 }),
        }),
        (query) => {
          const { page, parameters } = parseRoute(walkRoute(query));
          expect(page).toBe('walk');
          expect(walkQueryOf(parameters, '')).toEqual(query);
        },
      ),
      { numRuns: 50 },
    );
  });

  test('leads to the first page where it says nothing that is understood, and passes edits over that are none', () => {
    expect(parseRoute('').page).toBe('memory');
    expect(parseRoute('#nonsense?x=1').page).toBe('memory');
    const { parameters } = parseRoute('#walk?access=jump&edit=0x1000&edit=12-0x3&edit=0x8-__proto__');
    expect(walkQueryOf(parameters, '0x1')).toEqual({
      address: '0x1',
      access: 'read',
      user: false,
      edits: {},
    });
  });
});

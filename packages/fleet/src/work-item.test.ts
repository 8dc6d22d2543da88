import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type WorkItem, workItemId } from './work-item.ts';

const option = fc.oneof(fc.string(), fc.integer(), fc.boolean());
const item: fc.Arbitrary<WorkItem> = fc.record({
  source: fc.record({ uri: fc.string(), fingerprint: fc.string() }),
  command: fc.constant('audit'),
  options: fc.dictionary(fc.string(), option, { maxKeys: 4, noNullPrototype: true }),
  hekiVersion: fc.string(),
});

/** The same with the keys of every object the other way round. */
function turned(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([key, inner]) => [key, turned(inner)]),
  );
}

test('an id is a UUID of what the item says, in whatever order', () => {
  fc.assert(
    fc.property(item, (one) => {
      const id = workItemId(one);
      expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
      expect(workItemId(turned(one) as WorkItem)).toBe(id);
    }),
  );
});

test('two items that differ in anything have different ids', () => {
  fc.assert(
    fc.property(item, item, (one, other) => {
      const isSame = JSON.stringify(one) === JSON.stringify(other);
      if (!isSame && JSON.stringify(turned(one)) !== JSON.stringify(other)) {
        expect(workItemId(one)).not.toBe(workItemId(other));
      }
      expect(workItemId({ ...one, hekiVersion: `${one.hekiVersion}+` })).not.toBe(workItemId(one));
      const later = { ...one, source: { ...one.source, fingerprint: `${one.source.fingerprint}0` } };
      expect(workItemId(later)).not.toBe(workItemId(one));
    }),
  );
});

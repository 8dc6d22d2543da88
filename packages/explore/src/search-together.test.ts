import { expect, test } from 'vitest';
import { createExpander, type Expander } from './expand.ts';
import type { Machine } from './machine.ts';
import { search } from './search.ts';
import type { SavedSearch } from './search-record.ts';
import type { Bounds, SearchResult } from './search-result.ts';
import { searchTogether } from './search-together.ts';
import { kvmMachine } from './testing/backend-machines.ts';

/** Two counters that go round; `sum` falls where they make 9, `near` at once. Many ways lead to each state. */
const grid: Machine<number, string> = {
  name: 'grid',
  properties: [
    { id: 'sum', says: 'they do not make 9' },
    { id: 'far', says: 'the first is not 6' },
  ],
  initial: () => 0,
  successors(state, visit) {
    const [a, b] = [state % 16, Math.floor(state / 16)];
    visit('first', ((a + 1) % 16) + b * 16);
    visit('second', a + ((b + 1) % 16) * 16);
    visit('both', ((a + 1) % 16) + ((b + 1) % 16) * 16);
    visit('nothing', state);
  },
  key: (state) => state,
  broken: (state) => [
    ...((state % 16) + Math.floor(state / 16) === 9 ? ['sum'] : []),
    ...(state % 16 === 6 ? ['far'] : []),
  ],
  describe: (action) => action,
};

const BOUNDS: readonly Bounds[] = [
  {},
  { depth: 3 },
  { states: 30 },
  { properties: ['sum'] },
  { properties: ['far', 'sum'] },
];

const ids = (bounds: Bounds): readonly string[] => bounds.properties ?? grid.properties.map(({ id }) => id);

/** Expanders that answer after a while, each other one sooner. */
function slow(count: number, bounds: Bounds): Expander[] {
  return Array.from({ length: count }, (_, index) => {
    const { expand } = createExpander(grid, ids(bounds));
    return {
      async expand(stories) {
        for (let turn = 0; turn < (index % 2) * 5; turn++) await Promise.resolve();
        return expand(stories);
      },
    };
  });
}

const alone = (bounds: Bounds): SearchResult<string> => search(grid, bounds);

test.each(BOUNDS)('a search by several finds what one finds alone, in the same order: %j', async (bounds) => {
  for (const count of [1, 2, 3]) {
    const expanders = slow(count, bounds);
    expect(await searchTogether(grid, { ...bounds, expanders: () => expanders })).toEqual(alone(bounds));
  }
});

test.each(BOUNDS)(
  'a search that was ended anywhere goes on to what it would have found: %j',
  async (bounds) => {
    const points: SavedSearch[] = [];
    const expanders = slow(2, bounds);
    const options = { ...bounds, expanders: () => expanders };
    await searchTogether(grid, {
      ...options,
      onPoint(save) {
        points.push(JSON.parse(JSON.stringify(save())));
      },
    });
    expect(points.length).toBeGreaterThan(2);
    for (const from of points.filter((_, index) => index % 5 === 0)) {
      const fresh = slow(2, bounds);
      expect(await searchTogether(grid, { ...bounds, from, expanders: () => fresh })).toEqual(alone(bounds));
    }
  },
);

test.each<[Bounds, Bounds]>([
  [{ depth: 2 }, { depth: 5 }],
  [{ states: 30 }, { states: 60 }],
  [{ states: 31 }, {}],
])('a search that met its bound goes on with a wider one: %j, then %j', async (narrow, wide) => {
  const points: SavedSearch[] = [];
  const [expanders, others] = [slow(1, {}), slow(1, {})];
  const onPoint = (save: () => SavedSearch): void => {
    points.push(save());
  };
  await searchTogether(grid, { ...narrow, expanders: () => expanders, onPoint });
  expect(await searchTogether(grid, { ...wide, from: points.at(-1), expanders: () => others })).toEqual(
    alone(wide),
  );
});

test('of an expander that fails the failure is told', async () => {
  const failing: Expander = {
    expand: () => Promise.reject(new RangeError('no')),
  };
  const [good] = slow(1, {});
  const expanders = good === undefined ? [] : [good, failing];
  await expect(searchTogether(grid, { expanders: () => expanders })).rejects.toThrow('no');
});

test('a backend is searched by two as by one', async () => {
  const bounds: Bounds = { states: 250 };
  const properties = kvmMachine('hardened').properties.map(({ id }) => id);
  const expanders = [0, 1].map(() => createExpander(kvmMachine('hardened'), properties));
  const together = await searchTogether(kvmMachine('hardened'), { ...bounds, expanders: () => expanders });
  const { counterexamples, ...counts } = search(kvmMachine('hardened'), bounds);
  expect(together).toEqual({
    ...counts,
    counterexamples: counterexamples.map(({ property, actions }) => ({
      property,
      actions: actions.map(({ name }) => name),
    })),
  });
});

import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { TranslationTags } from './tags.ts';
import { framesOf, type PageSize, TranslationCache } from './translation-cache.ts';

/** One cached translation, as {@link ListedCache} keeps it: for ever, unless it is dropped. */
interface Entry {
  readonly start: number;
  readonly size: PageSize;
  readonly tag: number;
  readonly shift: number;
  readonly rights: number;
}

/** The cache as a list that forgets nothing by itself. The real one may have less, and must never have more. */
class ListedCache {
  #entries: Entry[] = [];

  insert(frame: number, size: PageSize, tag: number, target: number, rights: number): void {
    this.drop(frame, tag);
    this.#entries.push({ start: frame - (frame % framesOf(size)), size, tag, shift: target - frame, rights });
  }

  find(frame: number, tag: number): readonly Entry[] {
    return this.#entries.filter((entry) => entry.tag === tag && covers(entry, frame));
  }

  drop(frame: number, tag: number): void {
    this.#entries = this.#entries.filter((entry) => !(entry.tag === tag && covers(entry, frame)));
  }

  dropRange(start: number, frames: number, tag: number, having: number): void {
    this.#entries = this.#entries.filter(
      (entry) =>
        entry.size === 2 ||
        entry.tag !== tag ||
        (entry.rights & having) === 0 ||
        entry.start < start ||
        entry.start >= start + frames,
    );
  }

  clear(): void {
    this.#entries = [];
  }
}

function covers({ start, size }: Entry, frame: number): boolean {
  return frame >= start && frame < start + framesOf(size);
}

const REGIONS = [0, 0x200, 0x4_0000, 0x8_0000_0000, 2 ** 51, 2 ** 52 - 0x4_0000] as const;
const FRAMES = REGIONS.flatMap((region) =>
  [0, 1, 0x1ff, 0x200, 0x3_fe00, 0x3_ffff].map((inside) => region + inside),
);
const frame = fc.constantFrom(...FRAMES);
/** So many that some share every slot that they could have, in each of the three parts. */
const tag = fc.integer({ min: 1, max: 3000 });
const size = fc.constantFrom<PageSize[]>(0, 1, 2);
const rights = fc.integer({ min: 0, max: 7 });

type Step =
  | { readonly kind: 'insert'; frame: number; size: PageSize; tag: number; target: number; rights: number }
  | { readonly kind: 'drop'; frame: number; tag: number }
  | { readonly kind: 'drop-range'; start: number; size: PageSize; tag: number; having: number }
  | { readonly kind: 'clear' };

function stepWith(tags: fc.Arbitrary<number>): fc.Arbitrary<Step> {
  const target = fc.nat(2 ** 31);
  return fc.oneof(
    {
      weight: 12,
      arbitrary: fc.record({ kind: fc.constant('insert' as const), frame, size, tag: tags, target, rights }),
    },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('drop' as const), frame, tag: tags }) },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant('drop-range' as const),
        start: frame,
        size,
        tag: tags,
        having: rights,
      }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('clear' as const) }) },
  );
}

/** An empty cache in which two entries would have shared a slot. */
function withAllSlots(): TranslationCache {
  const cache = new TranslationCache();
  for (let page = 0; page <= 4096; page++) cache.insert(page, 0, 1, 0, 0);
  cache.clear();
  return cache;
}

function apply(cache: TranslationCache | ListedCache, step: Step): void {
  switch (step.kind) {
    case 'insert':
      cache.insert(step.frame, step.size, step.tag, step.target, step.rights);
      break;
    case 'drop':
      cache.drop(step.frame, step.tag);
      break;
    case 'drop-range':
      cache.dropRange(step.start, framesOf(step.size), step.tag, step.having);
      break;
    case 'clear':
      cache.clear();
  }
}

/** What the cache has for a frame under two tags. */
function found(cache: TranslationCache, at: number, own: number, other: number) {
  cache.use(own, other);
  const slot = cache.lookUp(at);
  return slot < 0
    ? undefined
    : { size: cache.size(slot), shift: cache.target(slot, at) - at, rights: cache.rights(slot) };
}

/** Whether the cache has something, which must be one of what was cached. */
function agree(
  cache: TranslationCache,
  listed: ListedCache,
  at: number,
  own: number,
  other: number,
): boolean {
  const entry = found(cache, at, own, other);
  if (entry === undefined) return false;
  const allowed = [...listed.find(at, own), ...listed.find(at, other)];
  expect(
    allowed.map((entry) => ({ size: entry.size, shift: entry.shift, rights: entry.rights })),
  ).toContainEqual(entry);
  return true;
}

describe('the cache of translations', () => {
  it('never finds what was not inserted, or what was dropped, whatever shares its slots', () => {
    const colliding = fc.uniqueArray(tag, { minLength: 30, maxLength: 30 });
    fc.assert(
      fc.property(
        colliding.chain((tags) =>
          fc.tuple(fc.constant(tags), fc.array(stepWith(fc.constantFrom(...tags)), { maxLength: 60 })),
        ),
        ([tags, steps]) => {
          const cache = new TranslationCache();
          const listed = new ListedCache();
          for (const step of steps) {
            apply(cache, step);
            apply(listed, step);
            if (step.kind === 'insert') {
              // What was just inserted is there, from any frame of its page and under either of the two tags.
              expect(agree(cache, listed, step.frame, step.tag, step.tag)).toBe(true);
              expect(agree(cache, listed, step.frame, 9999, step.tag)).toBe(true);
              expect(agree(cache, listed, step.frame, step.tag, 9999)).toBe(true);
            }
            if (step.kind === 'drop') {
              cache.use(step.tag, step.tag);
              expect(cache.lookUp(step.frame)).toBe(-1);
            }
          }
          for (const at of REGIONS) {
            for (const [i, own] of tags.entries()) {
              for (const inside of [0, 1, 0x1ff, 0x200, 0x3_ffff]) {
                agree(cache, listed, at + inside, own, tags[i - 1] ?? own);
              }
            }
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  it('holds the same with few slots as with all of them, and so does a point that is brought back', () => {
    const steps = fc.array(stepWith(fc.integer({ min: 1, max: 40 })), { maxLength: 40 });
    fc.assert(
      fc.property(steps, steps, (before, after) => {
        const caches = [new TranslationCache(), withAllSlots()];
        const contents = (): unknown[][] =>
          caches.map((cache) =>
            FRAMES.flatMap((at) =>
              Array.from({ length: 40 }, (_, own) => found(cache, at, own + 1, own + 1)),
            ),
          );
        for (const cache of caches) for (const step of before) apply(cache, step);
        const kept = contents();
        const backs = caches.map((cache) => cache.checkpoint());
        for (const cache of caches) for (const step of after) apply(cache, step);
        const [few, all] = contents();
        expect(few).toEqual(all);
        for (const back of backs) back();
        expect(contents()).toEqual([kept[1], kept[1]]);
      }),
      { numRuns: 40 },
    );
  });

  it('tells whether anything was dropped, in each of the three sizes', () => {
    for (const each of [0, 1, 2] as const) {
      const cache = new TranslationCache();
      expect(cache.drop(0x4_0000, 5)).toBe(false);
      cache.insert(0x4_0000, each, 5, 0x8_0000, 1);
      expect(cache.drop(0x4_0000, 6)).toBe(false);
      expect(cache.drop(0x8_0000, 5)).toBe(false);
      expect(cache.drop(0x4_0000 + framesOf(each) - 1, 5)).toBe(true);
      expect(cache.drop(0x4_0000, 5)).toBe(false);
    }
  });

  it('keeps one size for a frame: a page that was inserted in another is no longer found', () => {
    const cache = new TranslationCache();
    cache.use(5, 5);
    for (const [each, target] of [
      [2, 0x10_0000],
      [1, 0x20_0000],
      [0, 0x30_0000],
      [2, 0x40_0000],
    ] as const) {
      cache.insert(0x4_0000, each, 5, target, 1);
      const slot = cache.lookUp(0x4_0000);
      expect([cache.size(slot), cache.target(slot, 0x4_0000)]).toEqual([each, target]);
    }
  });
});

describe('a range', () => {
  it('takes with it what begins in it, has the tag and one of the rights, and is not a 1-GiB page', () => {
    const cached = [
      [0x3ff, 0, 5, 1, 'before'],
      [0x400, 0, 5, 1, 'dropped'],
      [0x401, 0, 6, 1, 'another tag'],
      [0x402, 0, 5, 2, 'another right'],
      [0x403, 0, 5, 3, 'dropped'],
      [0x600, 1, 5, 1, 'dropped'],
      [0xbff, 0, 5, 1, 'dropped'],
      [0xc00, 0, 5, 1, 'behind'],
      [0xe00, 1, 5, 1, 'behind'],
      [0x4_0000, 2, 5, 1, 'of 1 GiB'],
    ] as const;
    const cache = new TranslationCache();
    for (const [at, each, own, mask] of cached) cache.insert(at, each, own, at, mask);
    cache.dropRange(0x400, 0x800, 5, 1);
    for (const [at, , own, , what] of cached) {
      cache.use(own, own);
      expect([at, cache.lookUp(at) < 0]).toEqual([at, what === 'dropped']);
    }
  });
});

describe('a slot', () => {
  it('has the size of its part, from the first of the part to the last', () => {
    for (const [each, slots] of [
      [0, 4096],
      [1, 512],
      [2, 64],
    ] as const) {
      const cache = withAllSlots();
      const seen = new Set<number>();
      for (let page = 0; page < 8 * slots; page++) {
        const slot = cache.insert(page * framesOf(each), each, 1, 0, 0);
        expect(cache.size(slot)).toBe(each);
        seen.add(slot);
      }
      expect(seen.size).toBe(slots);
    }
  });
});

describe('tags that start again from the first', () => {
  it.each([40, 41])(
    'find nothing of what was cached under them before, the last of them being %i',
    (lastTag) => {
      const cache = new TranslationCache();
      const tags = new TranslationTags(cache, lastTag);
      for (let vpid = 1; vpid <= 200; vpid++) {
        tags.use(1, vpid, 0);
        cache.use(tags.own, tags.global);
        // Nothing is cached for this context, whatever its tags were used for.
        for (const each of [0, 1, 2] as const) expect(cache.lookUp(REGIONS[each + 1] ?? 0)).toBe(-1);
        for (const each of [0, 1, 2] as const) {
          cache.insert(REGIONS[each + 1] ?? 0, each, vpid % 2 === 0 ? tags.own : tags.global, 0x1000_0000, 1);
        }
        expect(Math.max(tags.own, tags.global)).toBeLessThanOrEqual(lastTag);
        expect(tags.own).not.toBe(tags.global);
      }
    },
  );
});

test('contexts that have tags are bounded: one that was used long ago gets new ones, and its old ones match nothing', () => {
  const cache = new TranslationCache();
  const tags = new TranslationTags(cache);
  tags.use(1, 1, 0);
  const first = tags.own;
  tags.use(1, 1, 0);
  expect(tags.own).toBe(first);
  for (let pcid = 0; pcid < 4096; pcid++) tags.use(1, 2, pcid);
  for (let pcid = 0; pcid < 4096; pcid++) tags.use(1, 3, pcid);
  tags.use(1, 1, 0);
  expect(tags.own).toBeGreaterThan(8192);
  expect(tags.tagsForVpid(2)).toEqual([]);
});

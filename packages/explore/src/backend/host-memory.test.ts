import { createStateDigest, PAGE_WORDS, type Pfn } from '@heki/physical-memory';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createHostMemory, type HostMemory } from './host-memory.ts';

const FRAMES = [0x40, 0x41, 0x42] as Pfn[];
const RANGE = { start: 0x40 as Pfn, end: 0x43 as Pfn };

/** What happens to memory: a word is stored, a point is kept, the latest or the one before is brought back. */
const life = fc.array(
  fc.oneof(
    fc.record({
      frame: fc.constantFrom(...FRAMES),
      index: fc.constantFrom(0, 7, 8, PAGE_WORDS - 1),
      word: fc.constantFrom(0, 1, 0x8000_0000, 0xffff_ffff),
    }),
    fc.constantFrom('point' as const, 'latest' as const, 'before' as const),
  ),
  { maxLength: 30 },
);

function digestOf(memory: HostMemory, left: readonly Pfn[] = []): number {
  const digest = createStateDigest();
  memory.digest(digest, left);
  return digest.number;
}

/** A memory that was only ever given these bytes. */
function freshAs(pages: ReadonlyMap<Pfn, Uint32Array>): HostMemory {
  const memory = createHostMemory([RANGE]);
  for (const [frame, words] of pages) memory.writablePage(frame)?.set(words);
  return memory;
}

test('the digest of memory is that of its bytes, however they came there', () => {
  fc.assert(
    fc.property(life, (steps) => {
      const memory = createHostMemory([RANGE]);
      let bytes = new Map(FRAMES.map((frame) => [frame, new Uint32Array(PAGE_WORDS)]));
      const copy = (from: typeof bytes) => new Map([...from].map(([frame, words]) => [frame, words.slice()]));
      const points = [{ pages: memory.point(), bytes: copy(bytes) }];
      for (const step of steps) {
        if (step === 'point') {
          points.push({ pages: memory.point(), bytes: copy(bytes) });
        } else if (typeof step === 'string') {
          const point = points.at(step === 'latest' ? -1 : -2) ?? points[0];
          if (point === undefined) continue;
          memory.restore(point.pages);
          bytes = copy(point.bytes);
        } else {
          const page = memory.writablePage(step.frame);
          if (page !== undefined) page[step.index] = step.word;
          bytes.get(step.frame)?.set([step.word], step.index);
        }
        const fresh = freshAs(bytes);
        expect(digestOf(memory)).toBe(digestOf(fresh));
        const [first = RANGE.start] = FRAMES;
        expect(digestOf(memory, [first])).toBe(digestOf(fresh, [first]));
        for (const frame of FRAMES) {
          const words = bytes.get(frame);
          const page = memory.page(frame);
          expect(words?.every((word, index) => word === (page?.[index] ?? 0))).toBe(true);
          expect(memory.contents(frame)).toBe(fresh.contents(frame));
        }
        // Without a frame nothing that is in it counts.
        bytes.get(first)?.fill(7);
        expect(digestOf(freshAs(bytes), [first])).toBe(digestOf(memory, [first]));
        bytes.get(first)?.set(memory.page(first) ?? new Uint32Array(PAGE_WORDS));
      }
    }),
    { numRuns: 15 },
  );
});

test('no word counts for another, in another place or page', () => {
  const digests = new Set<number>();
  let memories = 0;
  for (const frame of FRAMES)
    for (const index of [0, 1, 8, 512, PAGE_WORDS - 1])
      for (const word of [1, 2, 256, 0x8000_0000]) {
        const memory = createHostMemory([RANGE]);
        const page = memory.writablePage(frame);
        if (page !== undefined) page[index] = word;
        memories++;
        digests.add(digestOf(memory));
      }
  expect(digests.size).toBe(memories);
});

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createStateDigest, type StateDigest } from './state-digest.ts';

function digestOf(tell: (digest: StateDigest) => void): number {
  const digest = createStateDigest();
  tell(digest);
  return digest.number;
}

test('a digest tells numbers, their order and their size apart', () => {
  const lists = fc.array(fc.oneof(fc.nat(3), fc.maxSafeNat()), { maxLength: 6 });
  fc.assert(
    fc.property(lists, lists, (a, b) => {
      const [left, right] = [a, b].map((list) =>
        digestOf((digest) => {
          for (const each of list) digest.add(each);
        }),
      );
      // The length is the caller's to tell where it can differ.
      if (a.length === b.length) expect(left === right).toBe(a.every((each, at) => each === b[at]));
    }),
  );
});

test('a digest is the same for a page as for its words, and for a small u64 as for a number', () => {
  const page = Uint32Array.from({ length: 1024 }, (_, index) => index * 0x9e37_79b1);
  expect(digestOf((digest) => digest.words(page))).toBe(
    digestOf((digest) => {
      for (const word of page) digest.word(word);
    }),
  );
  expect(digestOf((digest) => digest.addU64(0n))).toBe(digestOf((digest) => digest.add(0)));
  expect(digestOf((digest) => digest.addU64(1n << 63n))).not.toBe(digestOf((digest) => digest.addU64(1n)));
});

test('a digest begins anew, and fits a number', () => {
  const digest = createStateDigest();
  const empty = digest.number;
  digest.addText('x');
  expect(digest.number).not.toBe(empty);
  expect(Number.isSafeInteger(digest.number)).toBe(true);
  digest.reset();
  expect(digest.number).toBe(empty);
});

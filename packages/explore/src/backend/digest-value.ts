import type { StateDigest } from '@heki/physical-memory';

/** Tells `digest` a value of plain data: numbers, big integers, texts, arrays, sets and objects, in their order. */
export function digestValue(value: unknown, digest: StateDigest): void {
  if (typeof value === 'number' && Number.isSafeInteger(value)) {
    digest.word(1);
    digest.add(value);
  } else if (typeof value === 'boolean') {
    digest.word(value ? 3 : 2);
  } else if (typeof value === 'bigint' && value >= 0n && value < 1n << 64n) {
    digest.word(4);
    digest.addU64(value);
  } else if (Array.isArray(value) || value instanceof Set) {
    digest.word(5);
    for (const each of value) digestValue(each, digest);
    digest.word(6);
  } else if (typeof value === 'object' && value !== null) {
    digest.word(7);
    for (const [name, each] of Object.entries(value)) {
      digest.addText(name);
      digestValue(each, digest);
    }
    digest.word(8);
  } else {
    digest.word(9);
    digest.addText(`${typeof value} ${value}`);
  }
}

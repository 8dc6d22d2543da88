import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { KernelImageError } from '../error.ts';
import { decompressLz4Legacy } from './lz4-legacy.ts';

const PACKED = new URL('../../../../fixtures/formats/lz4-legacy.json.gz', import.meta.url);

function unpacked(stream: Uint8Array, length: number): Uint8Array {
  const target = new Uint8Array(length);
  decompressLz4Legacy(stream, target);
  return target;
}

/** Literals, and a copy of what lies `distance` bytes before, or of as much of it as there is. */
interface Sequence {
  readonly literals: Uint8Array;
  readonly distance: number;
  readonly count: number;
}

const sequence = fc.record({
  literals: fc.uint8Array({ minLength: 1, maxLength: 400 }),
  distance: fc.oneof(fc.integer({ min: 1, max: 8 }), fc.integer({ min: 1, max: 65_535 })),
  count: fc.oneof(fc.integer({ min: 4, max: 40 }), fc.integer({ min: 4, max: 5000 })),
});

/** What the sequences say, a byte at a time, and a block that says so. */
function blockOf(sequences: readonly Sequence[]): { readonly bytes: number[]; readonly block: number[] } {
  const bytes: number[] = [];
  const block: number[] = [];
  const extension = (length: number) =>
    length < 15 ? [] : [...new Array<number>(Math.floor((length - 15) / 255)).fill(255), (length - 15) % 255];
  for (const { literals, distance, count } of sequences) {
    bytes.push(...literals);
    const back = Math.min(distance, bytes.length);
    for (let done = 0; done < count; done++) bytes.push(bytes[bytes.length - back] ?? 0);
    block.push(Math.min(15, literals.length) * 16 + Math.min(15, count - 4), ...extension(literals.length));
    block.push(...literals, back % 256, Math.floor(back / 256), ...extension(count - 4));
  }
  block.push(0x50, 1, 2, 3, 4, 5);
  bytes.push(1, 2, 3, 4, 5);
  return { bytes, block };
}

const MAGIC = [0x02, 0x21, 0x4c, 0x18];
const size = (length: number) => [
  length % 256,
  Math.floor(length / 256) % 256,
  Math.floor(length / 65_536),
  0,
];

/** What `lz4 -l` made of inputs that a rule makes: see fixtures/formats/README.md. */
const recorded: readonly { rule: [length: number, period: number]; levels: Record<string, string> }[] =
  JSON.parse(gunzipSync(readFileSync(PACKED)).toString());

function byRule(length: number, period: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = period;
  for (let at = 0; at < length; at++) {
    if (at % period < 64) state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    bytes[at] = at % period < 64 ? state >>> 24 : (bytes[at - period] ?? at % 7);
  }
  return bytes;
}

describe('legacy LZ4', () => {
  it('gives what the lz4 tool packed, fast or best, of one block or several', () => {
    expect(recorded.length).toBeGreaterThan(5);
    for (const { rule, levels } of recorded) {
      const bytes = byRule(...rule);
      for (const packed of Object.values(levels)) {
        const stream = Buffer.from(packed, 'base64');
        expect(Buffer.compare(unpacked(stream, bytes.length), bytes), `${rule}`).toBe(0);
      }
    }
  });

  it('gives what its sequences say, block after block and frame after frame', () => {
    const blocks = fc.array(fc.tuple(fc.array(sequence, { maxLength: 6 }), fc.boolean()), {
      minLength: 1,
      maxLength: 3,
    });
    fc.assert(
      fc.property(blocks, (several) => {
        const made = several.map(([sequences, newFrame]) => ({ ...blockOf(sequences), newFrame }));
        const stream = made.flatMap(({ block, newFrame }) => [
          ...(newFrame ? MAGIC : []),
          ...size(block.length),
          ...block,
        ]);
        const bytes = made.flatMap((one) => one.bytes);
        const given = unpacked(Uint8Array.from([...MAGIC, ...stream]), bytes.length);
        expect(Buffer.compare(given, Uint8Array.from(bytes))).toBe(0);
      }),
      { numRuns: 100 },
    );
  });

  it('that is cut, goes on, or was altered is refused or fills its place, and nothing else happens', () => {
    const { bytes, block } = blockOf(
      Array.from({ length: 30 }, (_, index) => ({
        literals: Uint8Array.from({ length: 1 + index * 3 }, (__, at) => at),
        distance: 1 + index * 20,
        count: 4 + index * 11,
      })),
    );
    const whole = Uint8Array.from([...MAGIC, ...size(block.length), ...block]);
    const change = fc.tuple(fc.nat(whole.length - 1), fc.nat(255));
    fc.assert(
      fc.property(fc.array(change, { maxLength: 4 }), fc.nat(whole.length), (changes, cut) => {
        const stream = whole.slice();
        for (const [at, value] of changes) stream[at] = value;
        for (const given of [stream, stream.subarray(0, cut)]) {
          try {
            unpacked(given, bytes.length);
          } catch (error) {
            expect(error).toBeInstanceOf(KernelImageError);
          }
        }
      }),
      { numRuns: 1000 },
    );
    expect(() => unpacked(whole, bytes.length - 1)).toThrow(`more than ${bytes.length - 1} bytes`);
    expect(() => unpacked(whole, bytes.length + 1)).toThrow(`expected ${bytes.length + 1}`);
    expect(() => unpacked(whole.subarray(0, -1), bytes.length)).toThrow('leaves the stream');
    expect(() => unpacked(Uint8Array.of(...whole, 1, 0, 0, 0), bytes.length)).toThrow('leaves the stream');
    expect(() => unpacked(Uint8Array.of(0x04, 0x22, 0x4d, 0x18), 0)).toThrow('no legacy frame');
  });

  it('refers to nothing before its block, and no block holds more than 8 MiB', () => {
    const literal = [0x10, 7];
    const stream = (second: readonly number[]) =>
      Uint8Array.from([...MAGIC, ...size(2), ...literal, ...size(second.length), ...second]);
    expect(unpacked(stream(literal), 2)).toEqual(Uint8Array.of(7, 7));
    expect(() => unpacked(stream([0x10, 7, 2, 0, 0x10, 7]), 8)).toThrow('what is not in its block');
    expect(() => unpacked(stream([0x10, 7, 0, 0, 0x10, 7]), 8)).toThrow('what is not in its block');
    expect(() => unpacked(stream([0x10, 7, 1, 0]), 6)).toThrow('a block ends in a copy');
    const most = 2 ** 23;
    const run = [0x1f, 7, 1, 0, ...new Array<number>(Math.ceil(most / 255)).fill(255), 200, 0x10, 7];
    expect(() => unpacked(Uint8Array.from([...MAGIC, ...size(run.length), ...run]), 2 * most)).toThrow(
      `more than ${most} bytes`,
    );
  });
});

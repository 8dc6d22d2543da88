import { VmcoreError } from '../../error.ts';

/** Extends a length whose bits are all zero: zero bytes count 255 each, the first other one ends it. */
const EXTENSION = 255;

/**
 * Fills `target` from a stream of LZO1X (Linux, Documentation/staging/lzo.rst).
 *
 * @throws {VmcoreError} when the stream is damaged, or gives more or fewer bytes
 */
export function decompressLzo1x(stream: Uint8Array, target: Uint8Array): void {
  let from = 0;
  let to = 0;

  function damaged(why: string): VmcoreError {
    return new VmcoreError(`damaged LZO data: ${why} at byte ${from} of ${stream.length}`);
  }

  function next(): number {
    const byte = stream[from];
    if (byte === undefined) throw damaged('it ends');
    from++;
    return byte;
  }

  /** A length: `bits` of the instruction, or, where they are zero, `most` and what follows. */
  function length(bits: number, most: number): number {
    if (bits !== 0) return bits;
    let sum = most;
    for (;;) {
      const byte = next();
      if (byte !== 0) return sum + byte;
      sum += EXTENSION;
    }
  }

  function literals(count: number): void {
    if (from + count > stream.length) throw damaged('it ends in literals');
    if (to + count > target.length) throw damaged(`more than ${target.length} bytes`);
    for (let done = 0; done < count; done++) target[to++] = stream[from++] ?? 0;
  }

  /** A copy of what was written `distance` bytes before; the two may overlap. */
  function copy(distance: number, count: number): void {
    if (distance > to) throw damaged('it refers to what is before its start');
    if (to + count > target.length) throw damaged(`more than ${target.length} bytes`);
    for (let done = 0; done < count; done++, to++) target[to] = target[to - distance] ?? 0;
  }

  /** Literals that the last instruction left behind it: 0 to 3, and 4 for more. */
  let state = 0;
  if ((stream[0] ?? 0) > 17) {
    const count = next() - 17;
    literals(count);
    state = Math.min(count, 4);
  }
  for (;;) {
    const byte = next();
    if (byte < 16 && state === 0) {
      literals(3 + length(byte, 15));
      state = 4;
      continue;
    }
    if (byte < 16) {
      const distance = next() * 4 + (byte >> 2) + 1;
      if (state === 4) copy(distance + 2048, 3);
      else copy(distance, 2);
      state = byte % 4;
    } else if (byte < 64) {
      const near = byte >= 32;
      const count = 2 + (near ? length(byte % 32, 31) : length(byte % 8, 7));
      const low = next();
      const distance = (near ? 1 : 16384 + (byte & 8) * 2048) + (low >> 2) + next() * 64;
      if (!near && distance === 16384) break;
      copy(distance, count);
      state = low % 4;
    } else {
      const distance = next() * 8 + ((byte >> 2) & 7) + 1;
      copy(distance, byte < 128 ? 3 + ((byte >> 5) & 1) : 5 + ((byte >> 5) & 3));
      state = byte % 4;
    }
    literals(state);
  }
  if (from !== stream.length) throw damaged('it goes on behind its end');
  if (to !== target.length) throw damaged(`${to} bytes: expected ${target.length}`);
}

import { VmcoreError } from '../../error.ts';

/** Bytes of a length at the start: seven bits in each, the lowest first. */
const MOST_LENGTH_BYTES = 5;
/** A literal of more bytes has its length behind the tag. */
const SHORT_LITERAL = 60;

/**
 * Fills `target` from a block of Snappy (google/snappy, format_description.txt).
 *
 * @throws {VmcoreError} when the block is damaged, or gives more or fewer bytes
 */
export function decompressSnappy(block: Uint8Array, target: Uint8Array): void {
  let from = 0;
  let to = 0;

  function damaged(why: string): VmcoreError {
    return new VmcoreError(`damaged snappy data: ${why} at byte ${from} of ${block.length}`);
  }

  /** A number of `bytes` bytes, the lowest first. */
  function number(bytes: number): number {
    if (from + bytes > block.length) throw damaged('it ends');
    let value = 0;
    for (let done = 0; done < bytes; done++) value += (block[from++] ?? 0) * 256 ** done;
    return value;
  }

  function uncompressedLength(): number {
    let value = 0;
    for (let done = 0; done < MOST_LENGTH_BYTES; done++) {
      const byte = number(1);
      value += (byte % 128) * 128 ** done;
      if (byte < 128) return value;
    }
    throw damaged('a length without an end');
  }

  function literal(count: number): void {
    if (from + count > block.length) throw damaged('it ends in literals');
    if (to + count > target.length) throw damaged(`more than ${target.length} bytes`);
    for (let done = 0; done < count; done++) target[to++] = block[from++] ?? 0;
  }

  /** A copy of what was written `distance` bytes before; the two may overlap. */
  function copy(distance: number, count: number): void {
    if (distance === 0 || distance > to) throw damaged('it refers to what is before its start');
    if (to + count > target.length) throw damaged(`more than ${target.length} bytes`);
    for (let done = 0; done < count; done++, to++) target[to] = target[to - distance] ?? 0;
  }

  const length = uncompressedLength();
  if (length !== target.length) throw damaged(`it says ${length} bytes: expected ${target.length}`);
  while (from < block.length) {
    const tag = number(1);
    const upper = tag >> 2;
    const kind = tag % 4;
    if (kind === 0) literal((upper < SHORT_LITERAL ? upper : number(upper - SHORT_LITERAL + 1)) + 1);
    else if (kind === 1) copy((tag >> 5) * 256 + number(1), 4 + (upper % 8));
    else copy(number(kind === 2 ? 2 : 4), upper + 1);
  }
  if (to !== target.length) throw damaged(`${to} bytes: expected ${target.length}`);
}

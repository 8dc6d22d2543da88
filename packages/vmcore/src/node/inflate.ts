import { inflateSync } from 'node:zlib';

/** What `info` has zlib give. */
interface Inflated {
  readonly buffer: Uint8Array;
  readonly engine: { readonly bytesWritten: number };
}

/** What `VmcoreOptions.inflate` asks for, by Node's zlib: a page takes half the time that it takes JavaScript. */
export function inflate(packed: Uint8Array, most: number): Uint8Array {
  // One piece of output, with room to see what is too long.
  const options = { maxOutputLength: most, chunkSize: most + 1, info: true };
  const { buffer, engine }: Inflated = Object(inflateSync(packed, options));
  const behind = packed.length - engine.bytesWritten;
  if (behind > 0) throw new Error(`${behind} bytes behind its end`);
  // A copy, as zlib gives a part of it.
  return new Uint8Array(buffer);
}

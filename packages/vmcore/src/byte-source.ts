import type { DumpWarning } from './dump-warning.ts';
import { VmcoreError } from './error.ts';

/**
 * Bytes that are read by position: an array in memory, a file, a `Blob`. A read gives all of its bytes or throws: what cannot be
 * read is never taken for what is not there.
 */
export interface ByteSource {
  /** In bytes. */
  readonly size: number;
  /** Fills `target` from `offset` on. @throws {VmcoreError} when that reaches beyond the end or cannot be read */
  read(offset: number, target: Uint8Array): void;
  /** The bytes themselves as 32-bit words, without a copy, where they are in memory and suitably aligned. */
  words(offset: number, count: number): Uint32Array | undefined;
  /** Whether a byte of these was never written, and reads zero. Absent where every byte was. */
  hasHole?(offset: number, length: number): boolean;
  /** What a reader of whatever is in it must know of how it is read. */
  readonly warning?: DumpWarning | undefined;
  close(): void;
}

/** The bytes of an array as a source. */
export function bytesSource(bytes: Uint8Array): ByteSource {
  return {
    size: bytes.length,
    read(offset, target) {
      if (offset + target.length > bytes.length) throw beyondEnd(offset, target.length, bytes.length);
      target.set(bytes.subarray(offset, offset + target.length));
    },
    words(offset, count) {
      const start = bytes.byteOffset + offset;
      if (start % 4 !== 0 || offset + count * 4 > bytes.length) return undefined;
      return new Uint32Array(bytes.buffer, start, count);
    },
    close: () => {},
  };
}

/** The error for a read that would leave the file. */
export function beyondEnd(offset: number, length: number, size: number): VmcoreError {
  return new VmcoreError(`truncated: ${length} bytes expected, but the file ends at 0x${size.toString(16)}`, {
    offset,
  });
}

/** `length` bytes from `offset` on. @throws {VmcoreError} beyond the end */
export function readBytesAt(source: ByteSource, offset: number, length: number): Uint8Array<ArrayBuffer> {
  // Before anything is allocated: lengths come from files.
  if (offset + length > source.size) throw beyondEnd(offset, length, source.size);
  const bytes = new Uint8Array(length);
  source.read(offset, bytes);
  return bytes;
}

/** `length` bytes from `offset` on, as a view for reading fields. @throws {VmcoreError} beyond the end */
export function readFields(source: ByteSource, offset: number, length: number): DataView {
  return new DataView(readBytesAt(source, offset, length).buffer);
}

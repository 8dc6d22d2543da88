import { type ByteSource, beyondEnd } from '../../byte-source.ts';
import type { DumpWarning } from '../../dump-warning.ts';
import { VmcoreError } from '../../error.ts';
import { DUMP_LIMITS } from '../../limits.ts';
import { requestRanges } from './range-requests.ts';
import { parseWebAddress } from './web-address.ts';

/** What is asked for at least: a request takes about as long as this many bytes. */
const BLOCK = 2 ** 17;
/** What is asked for at most, at once. */
const MOST_AT_ONCE = 2 ** 23;

const UNVERSIONED: DumpWarning = {
  id: 'unversioned',
  message:
    'the web server tells neither ETag nor Last-Modified: whether the file was written while it was read cannot be seen, unless its size changed',
};

/**
 * A file on a web server, of which only what is read comes over the network, in blocks, the last of which are kept. A server that knows no ranges,
 * an answer that is not what was asked for, a connection that ends, and a file that is another one than before are errors.
 *
 * @param address `https://HOST/PATH` or `http:`, also with `USER:PASSWORD@`; neither these nor what follows `?` are ever told
 * @throws {VmcoreError} when it cannot be read
 */
export function webSource(address: string): ByteSource {
  const where = parseWebAddress(address);
  const requests = requestRanges(where);
  const first = requests.part(0, BLOCK);
  const { size, version } = first;
  let open = true;
  /** Where the last answer ended, and how many blocks it had: who reads on from there will read on. */
  let next = 1;
  let ahead = 1;
  /** By their number; those that were used last come last. */
  const blocks = new Map<number, Uint8Array>([[0, first.bytes]]);

  /** The bytes from that block on, `wanted` blocks at least. */
  function load(block: number, wanted: number): Uint8Array {
    ahead = block === next ? Math.min(2 * ahead, MOST_AT_ONCE / BLOCK) : 1;
    const count = Math.max(wanted, ahead);
    next = block + count;
    const offset = block * BLOCK;
    const part = requests.part(offset, Math.min(count * BLOCK, size - offset));
    if (part.size !== size || part.version !== version) {
      throw new VmcoreError(
        `${where.shown} is no longer the file that it was when reading began: it was written in the meantime`,
        { offset, unread: true },
      );
    }
    for (let at = 0; at < part.bytes.length; at += BLOCK) {
      keep(block + at / BLOCK, part.bytes.slice(at, at + BLOCK));
    }
    return part.bytes;
  }

  function keep(block: number, bytes: Uint8Array): void {
    blocks.delete(block);
    blocks.set(block, bytes);
    for (const [oldest] of blocks) {
      if (blocks.size * BLOCK <= DUMP_LIMITS.webCacheBytes) break;
      blocks.delete(oldest);
    }
  }

  return {
    size,
    warning: version.trim() === '' && size > first.bytes.length ? UNVERSIONED : undefined,
    read(offset, target) {
      if (!open) throw new VmcoreError(`${where.shown} is closed: read what is needed before`, { offset });
      if (offset + target.length > size) throw beyondEnd(offset, target.length, size);
      const end = offset + target.length;
      for (let at = offset; at < end; ) {
        const block = Math.floor(at / BLOCK);
        const known = blocks.get(block);
        if (known !== undefined) keep(block, known);
        const bytes = known ?? load(block, missingFrom(block, end));
        const from = at - block * BLOCK;
        const part = bytes.subarray(from, from + (end - at));
        target.set(part, at - offset);
        at += part.length;
      }
    },
    words: () => undefined,
    close() {
      if (open) requests.close();
      open = false;
      blocks.clear();
    },
  };

  /** How many blocks in a row are wanted for what ends at `end`, and are not there. */
  function missingFrom(block: number, end: number): number {
    let count = 1;
    while ((block + count) * BLOCK < end && count * BLOCK < MOST_AT_ONCE && !blocks.has(block + count))
      count++;
    return count;
  }
}

import { ZSTD_MAGICS } from '@heki/vmcore';
import { DUMP_LIMITS } from '@heki/vmcore/limits';
import { InputError } from '../../failure.ts';

/** Bytes that are put into a Blob at a time: the browser may keep Blobs on disk. */
const PART = 2 ** 24;

/** How packed files begin, in Latin-1. */
const MAGICS = { gzip: ['\x1f\x8b'], zstd: ZSTD_MAGICS, xz: ['\xfd7zXZ'] } as const;

/**
 * What is in a file that a person chose: of one that gzip made, what it holds; any other as it is.
 *
 * @throws {InputError} for what a browser cannot unpack, is damaged, or has no end
 */
export async function unpacked(file: Blob, name: string): Promise<Blob> {
  const start = String.fromCharCode(...new Uint8Array(await file.slice(0, 6).arrayBuffer()));
  const begins = (magics: readonly string[]): boolean => magics.some((magic) => start.startsWith(magic));
  for (const program of ['zstd', 'xz'] as const) {
    if (!begins(MAGICS[program])) continue;
    throw new InputError(
      `packed by ${program}, which a browser does not unpack: "${program} -d" does, and so does "heki inspect FILE"`,
      { file: name },
    );
  }
  return begins(MAGICS.gzip) ? inflated(file, name) : file;
}

async function inflated(file: Blob, name: string): Promise<Blob> {
  const blobs: Blob[] = [];
  let parts: Uint8Array<ArrayBuffer>[] = [];
  let [size, waiting] = [0, 0];
  const reader = file.stream().pipeThrough(new DecompressionStream('gzip')).getReader();
  for (;;) {
    const { done, value } = await reader.read().catch((cause: unknown) => {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new InputError(
        `damaged, or of several members, which a browser does not unpack (${why}): "gzip -d" does, and so does "heki inspect FILE"`,
        { file: name },
        cause,
      );
    });
    if (done) break;
    size += value.length;
    waiting += value.length;
    checkUnpacked(size, file.size, name);
    parts.push(value);
    if (waiting < PART) continue;
    blobs.push(new Blob(parts));
    parts = [];
    waiting = 0;
  }
  return new Blob([...blobs, ...parts]);
}

/** @throws {InputError} when that is too much: the command's words */
function checkUnpacked(size: number, packed: number, file: string): void {
  const { unpackedBytes, inflationCountsFrom, inflation } = DUMP_LIMITS;
  if (size > unpackedBytes) throw new InputError(`unpacks to more than ${unpackedBytes} bytes`, { file });
  if (size > inflationCountsFrom && size > packed * inflation) {
    throw new InputError(`unpacks to ${inflation} times its size: a bomb, no dump`, { file });
  }
}

import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { InputError } from '../failure.ts';
import { COMMAND_LIMITS } from '../limits/command-limits.ts';
import { bytesText } from '../quantity.ts';
import { fileChunks, tooLarge } from './file-chunks.ts';
import type { InputKind } from './input-kind.ts';
import { beyondJsonBounds } from './json-bounds.ts';

/**
 * The text of the file at `path`, unpacked if it is gzip (as /proc/config.gz is). All text and all JSON that the command reads comes
 * through here, so that none is larger, or nested deeper, than its kind may be.
 *
 * @throws {InputError} when it is too large, no valid gzip or no UTF-8, with its name, its size and the limit; the file
 * system's own error when it cannot be read
 */
export async function readText(path: string, kind: InputKind): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  const source = await withFirstBytes(fileChunks(path, kind), 2);
  const packed = source.first[0] === 0x1f && source.first[1] === 0x8b;
  for await (const chunk of packed ? unpacked(source.chunks, path) : source.chunks) {
    bytes += chunk.length;
    if (bytes > kind.mostBytes) {
      throw tooLarge(path, kind, `${packed ? 'unpacked ' : ''}more than ${bytesText(kind.mostBytes)}`);
    }
    chunks.push(chunk);
  }
  const text = decode(Buffer.concat(chunks, bytes), path, kind);
  const tooMuch = /^\s*[[{]/.test(text)
    ? beyondJsonBounds(text, kind.mostValues ?? COMMAND_LIMITS.jsonValues)
    : undefined;
  if (tooMuch !== undefined) throw new InputError(`${tooMuch}: expected ${kind.name}`, { file: path });
  return text;
}

/** What tells a packed file from others, and all chunks, these bytes included. */
async function withFirstBytes(
  chunks: AsyncGenerator<Uint8Array, void>,
  count: number,
): Promise<{ first: Uint8Array; chunks: AsyncIterable<Uint8Array> }> {
  let first: Uint8Array = new Uint8Array(0);
  while (first.length < count) {
    const next = await chunks.next();
    if (next.done === true) break;
    first = first.length === 0 ? next.value : Buffer.concat([first, next.value]);
  }
  async function* all(): AsyncGenerator<Uint8Array, void> {
    yield first;
    yield* chunks;
  }
  return { first, chunks: all() };
}

async function* unpacked(chunks: AsyncIterable<Uint8Array>, path: string): AsyncGenerator<Uint8Array, void> {
  const source = Readable.from(chunks, { objectMode: false });
  const gunzip = source.pipe(createGunzip());
  // What fails in the source is not passed on by a pipe.
  source.on('error', (error) => gunzip.destroy(error));
  try {
    yield* gunzip;
  } catch (error) {
    if (!(error instanceof Error) || !('code' in error) || !String(error.code).startsWith('Z_')) throw error;
    // What zlib calls a lack of room is a lack of input here.
    const why = error.code === 'Z_BUF_ERROR' ? 'it is cut short' : error.message;
    throw new InputError(`not a valid gzip file (${why})`, { file: path }, error);
  } finally {
    source.destroy();
  }
}

function decode(bytes: Uint8Array, path: string, { name }: InputKind): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new InputError(`not text in UTF-8: expected ${name}`, { file: path });
  }
}

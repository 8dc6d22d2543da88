import { bytesText } from '../quantity.ts';
import { fileChunks, tooLarge } from './file-chunks.ts';
import type { InputKind } from './input-kind.ts';

/** The bytes of the file at `path`. @throws {InputError} when it is larger than its kind may be; the file system's own error when it cannot be read */
export async function readBytes(path: string, kind: InputKind): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of fileChunks(path, kind)) {
    bytes += chunk.length;
    if (bytes > kind.mostBytes) throw tooLarge(path, kind, `more than ${bytesText(kind.mostBytes)}`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, bytes);
}

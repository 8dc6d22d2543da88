import { basename } from 'node:path';
import { INPUT_KINDS } from './input/input-kind.ts';
import { readText } from './input/read-text.ts';
import { parseSidecar, type Sidecar } from './sidecar.ts';

/** The path of the JSON beside the snapshot at `path`: its name without `.gz` and `.elf`, with `.json`. */
export function sidecarPath(path: string): string {
  return `${path.replace(/(\.elf|\.core|\.dump|\.vmcore)?(\.gz)?$/i, '')}.json`;
}

/**
 * Reads the JSON beside the snapshot at `path`. `undefined` when there is none.
 *
 * @throws {InputError} when there is one and it is damaged
 */
export async function readSidecar(path: string): Promise<Sidecar | undefined> {
  // Nothing stands beside standard input.
  if (path === '-') return undefined;
  const beside = sidecarPath(path);
  let text: string;
  try {
    text = await readText(beside, INPUT_KINDS.sidecar);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
  return parseSidecar(text, beside, basename(beside));
}

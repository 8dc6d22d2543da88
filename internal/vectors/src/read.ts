import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';

/** More text than any vector file holds; a damaged or hostile file must not take all memory. */
const MAX_BYTES = 2 ** 30;

/** The text of a vector file, inflated when its name ends in `.gz`. @throws {Error} saying what is wrong with it */
function readText(path: string): string {
  const bytes = readFileSync(path);
  if (!path.endsWith('.gz')) return bytes.toString('utf8');
  try {
    return gunzipSync(bytes, { maxOutputLength: MAX_BYTES }).toString('utf8');
  } catch (error) {
    throw new Error(`damaged gzip file: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** The lines of a vector file without empty ones at the end. @throws {Error} saying what is wrong with the file */
export function readLines(path: string): string[] {
  const lines = readText(path).split('\n');
  while (lines.at(-1) === '') lines.pop();
  return lines;
}

/** The value in a JSON vector file. @throws {Error} saying what is wrong with it */
export function readJson(path: string): unknown {
  try {
    return JSON.parse(readText(path));
  } catch (error) {
    throw new Error(`no valid JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
}

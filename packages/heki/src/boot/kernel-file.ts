import { basename } from 'node:path';
import { buildFromSymbols, IMAGE_SYMBOLS, type KernelBuild, LinuxError } from '@heki/linux';
import { hex } from '@heki/physical-memory';
import { parseSystemMap, SymbolError } from '@heki/symbols';
import { z } from 'zod';
import { InputError } from '../failure.ts';
import { INPUT_KINDS } from '../input/input-kind.ts';
import { parseJson } from '../input/parse-json.ts';
import { readText } from '../input/read-text.ts';

/** JSON as it stands beside a snapshot: addresses by name. */
const symbolsSchema = z.object({ symbols: z.record(z.string(), z.string().regex(/^0x[0-9a-f]{1,16}$/i)) });

/**
 * The image of a kernel as its symbols tell it.
 *
 * @param path System.map, /proc/kallsyms, or JSON with `symbols`; gzip or plain
 * @throws {InputError} when the file holds no such symbols, or they belong to no image that Linux could have linked
 */
export async function readKernelBuild(path: string): Promise<KernelBuild> {
  const text = await readText(path, INPUT_KINDS.kernelSymbols);
  try {
    const symbols = text.trimStart().startsWith('{')
      ? parseJson(text, path, symbolsSchema).symbols
      : symbolsOfMap(text);
    return buildFromSymbols(basename(path), symbols);
  } catch (error) {
    if (!(error instanceof LinuxError || error instanceof SymbolError)) throw error;
    throw new InputError(error.message, { file: path }, error);
  }
}

/** Those of an image, out of all that a kernel has. */
function symbolsOfMap(text: string): Record<string, string> {
  const table = parseSystemMap(text);
  return Object.fromEntries(
    [...IMAGE_SYMBOLS, 'init_espfix_bsp'].flatMap((name) => {
      const [symbol] = table.named(name);
      return symbol === undefined ? [] : [[name, hex(symbol.address)]];
    }),
  );
}

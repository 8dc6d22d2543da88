import { basename } from 'node:path';
import { buildFromSymbols, type KernelBuild, LinuxError } from '@heki/linux';
import { z } from 'zod';
import { InputError } from '../failure.ts';
import { INPUT_KINDS } from '../input/input-kind.ts';
import { parseJson } from '../input/parse-json.ts';
import { readText } from '../input/read-text.ts';

/** A line of System.map or /proc/kallsyms: an address, the kind of symbol, its name; those of modules name the module behind. */
const SYMBOL = /^([0-9a-f]{8,16}) [a-zA-Z] (\S+)$/gm;

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
  const symbols = text.trimStart().startsWith('{')
    ? parseJson(text, path, symbolsSchema).symbols
    : symbolsOfMap(text, path);
  try {
    return buildFromSymbols(basename(path), symbols);
  } catch (error) {
    if (error instanceof LinuxError) throw new InputError(error.message, { file: path }, error);
    throw error;
  }
}

function symbolsOfMap(text: string, path: string): Record<string, string> {
  const symbols: Record<string, string> = {};
  for (const [, address = '', name = ''] of text.matchAll(SYMBOL)) symbols[name] = `0x${address}`;
  const addresses = new Set(Object.values(symbols));
  if (addresses.size === 0) {
    throw new InputError('no symbols: expected lines such as "ffffffff81000000 T _text"', { file: path });
  }
  if (addresses.size === 1 && /^0x0+$/.test([...addresses].join())) {
    throw new InputError('all addresses are zero: the kernel hides them (kptr_restrict); read it as root', {
      file: path,
    });
  }
  return symbols;
}

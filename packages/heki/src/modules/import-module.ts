import { realpath, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { ErrorPlace } from '@heki/physical-memory';
import { InputError, thrownText } from '../failure.ts';
import { fileErrorText } from '../file-error.ts';
import { tooLarge } from '../input/file-chunks.ts';
import { INPUT_KINDS } from '../input/input-kind.ts';
import { bytesText } from '../quantity.ts';
import { awaitModule, lastModule } from './module-call.ts';

/** What a module of the user's exports, by name. */
export type ModuleExports = Readonly<Record<string, unknown>>;

/** The files of the modules that run, as a stack names them, by the path that the user gave. */
const loaded = new Map<string, string>();

/**
 * Loads the ES module at `path` and runs its code.
 *
 * @throws {InputError} when it is not there, cannot be loaded, or throws; names the place in it
 */
export async function importModule(path: string): Promise<ModuleExports> {
  const file = resolve(path);
  try {
    const stats = await stat(path);
    if (!stats.isFile()) {
      const what = stats.isDirectory() ? 'is a directory' : 'is a device, a pipe or a socket';
      throw new InputError(`${what}, expected an ES module`, { file: path });
    }
    if (stats.size > INPUT_KINDS.module.mostBytes)
      throw tooLarge(path, INPUT_KINDS.module, bytesText(stats.size));
  } catch (error) {
    const why = fileErrorText(error);
    throw why === undefined ? error : new InputError(why, { file: path });
  }
  loaded.set(path, await realpath(path));
  try {
    return await awaitModule(path, 'its own code', () => import(pathToFileURL(file).href));
  } catch (error) {
    throw new InputError(`cannot be loaded: ${thrownText(error)}`, { file: path, ...placeIn(file, error) });
  }
}

/** Where in the module at `path` an error comes from, as far as its stack tells. */
export function placeIn(path: string, error: unknown): Pick<ErrorPlace, 'line' | 'column'> {
  const file = loaded.get(path) ?? resolve(path);
  const stack = stackOf(error);
  for (const name of [pathToFileURL(file).href, file]) {
    const start = stack.indexOf(`${name}:`);
    const [, line, column] = start < 0 ? [] : (/^:(\d+):(\d+)/.exec(stack.slice(start + name.length)) ?? []);
    if (line !== undefined && column !== undefined) return { line: Number(line), column: Number(column) };
  }
  return {};
}

/**
 * What a module of the user's did to the program: `error`, which nothing of heki's expects, as the module's mistake, where its stack leads
 * through one. So is what heki's packages throw when a module calls them wrongly, and what is not an error, which they never throw.
 */
export function moduleFault(error: unknown): InputError | undefined {
  for (const path of loaded.keys()) {
    const place = placeIn(path, error);
    if (place.line !== undefined)
      return new InputError(`threw ${thrownText(error)}`, { file: path, ...place }, error);
  }
  const file = lastModule();
  if (file === undefined || stackOf(error) !== '') return undefined;
  return new InputError(`threw ${thrownText(error)}`, { file }, error);
}

function stackOf(error: unknown): string {
  try {
    // Somebody else's error can have anything there.
    const stack: unknown = error instanceof Error ? error.stack : undefined;
    return typeof stack === 'string' ? stack : '';
  } catch {
    return '';
  }
}

/** A kind of value, for an error: `a function`, `nothing`, `a Promise`. */
export function kindOf(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'null';
  if (Array.isArray(value)) return value.length === 0 ? 'an empty array' : 'an array';
  if (value instanceof Promise) return 'a Promise';
  const kind = typeof value;
  return kind === 'object' ? 'an object' : `a ${kind}`;
}

/** The value as an object whose fields can be looked at; `undefined` for anything else. */
export function fieldsOf(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Promise)
    ? (value as Readonly<Record<string, unknown>>)
    : undefined;
}

import { parse } from '@humanwhocodes/momoa';
import type { z } from 'zod';
import { InputError } from '../failure.ts';

/**
 * The value in the text of a JSON file.
 *
 * @throws {InputError} with its place in `file`, when it is not JSON, or not what `schema` describes
 */
export function parseJson<Schema extends z.ZodType>(
  text: string,
  file: string,
  schema: Schema,
): z.output<Schema> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new InputError(`not JSON (${why})`, { file, ...jsonPosition(text) });
  }
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const message = `${issue?.path.join('.') || 'the file'}: ${issue?.message ?? 'not understood'}`;
  throw new InputError(message, { file });
}

/** Where `text` stops being JSON, both counted from 1: the engine's own message has a place for some errors only. */
export function jsonPosition(text: string): { readonly line?: number; readonly column?: number } {
  try {
    parse(text);
  } catch (error) {
    if (error instanceof Error && 'line' in error && 'column' in error) {
      return { line: Number(error.line), column: Number(error.column) };
    }
  }
  return {};
}

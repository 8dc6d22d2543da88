import { existsSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import type { SavedSearch } from '@heki/explore';
import { z } from 'zod';
import { InputError, UsageError } from '../failure.ts';
import { INPUT_KINDS } from '../input/input-kind.ts';
import { parseJson } from '../input/parse-json.ts';
import { readText } from '../input/read-text.ts';
import { writeFiles } from '../output-file.ts';
import { VERSION } from '../report/report-header.ts';

const whole = z.int().min(0);
const story = z.array(z.string().max(1000)).max(10_000);

const keptSchema = z.object({
  heki: z.string().max(100),
  /** What is searched, and for what: all but bounds. */
  of: z.unknown(),
  search: z.object({
    keys: z.array(z.union([z.number(), z.string()])),
    before: z.array(whole),
    by: z.array(z.int().min(-1)),
    lines: z.array(z.string().max(1000)),
    frontier: z.array(whole),
    position: whole,
    next: z.array(whole),
    depth: whole,
    transitions: whole,
    counterexamples: z.array(z.object({ property: z.string().max(100), actions: story })),
  }),
});

/**
 * The search that was kept in a file; `undefined` when there is no such file yet.
 *
 * @param of what is searched, and for what
 * @throws {InputError} when it is no such file
 * @throws {UsageError} when it is of another search, or of another version of heki, whose machines need not be these
 */
export async function readSearch(path: string, of: object): Promise<SavedSearch | undefined> {
  if (!existsSync(path)) return undefined;
  const kept = parseJson(await readText(path, INPUT_KINDS.search), path, keptSchema);
  const now = JSON.parse(JSON.stringify(of));
  if (kept.heki !== VERSION || !isDeepStrictEqual(kept.of, now)) {
    throw new UsageError(
      `--resume ${path}: it keeps a search of heki ${kept.heki} for ${JSON.stringify(kept.of)}: expected one of heki ${VERSION} for ${JSON.stringify(now)}, or another name`,
    );
  }
  const flaw = flawOf(kept.search);
  if (flaw !== undefined) throw new InputError(flaw, { file: path });
  return kept.search;
}

/** Puts a search into a file: whoever reads it sees this one, or the one before. */
export async function keepSearch(path: string, of: object, search: SavedSearch): Promise<void> {
  const text = JSON.stringify({ heki: VERSION, of, search });
  await writeFiles([{ path, chunks: [Buffer.from(text)] }], true);
}

/** What cannot be in a search that was kept. */
function flawOf({ keys, before, by, lines, frontier, position, next }: SavedSearch): string | undefined {
  const states = keys.length;
  if (states === 0 || before.length !== states || by.length !== states)
    return `search: ${states} keys, ${before.length} states before and ${by.length} actions: expected as many of each, and one at least`;
  if (new Set(keys).size !== states) return 'search.keys: expected each once';
  const late = before.findIndex((from, state) => from >= state && state > 0);
  if (late >= 0) return `search.before.${late}: ${before[late]}: expected a state before it`;
  const unknown = by.findIndex((line, state) => line >= lines.length || line < 0 !== (state === 0));
  if (unknown >= 0) return `search.by.${unknown}: ${by[unknown]}: expected one of ${lines.length} lines`;
  if (position > frontier.length) return `search.position: ${position}: expected ${frontier.length} at most`;
  const missing = [...frontier, ...next].find((state) => state >= states);
  return missing === undefined ? undefined : `search.frontier: ${missing}: expected one of ${states} states`;
}

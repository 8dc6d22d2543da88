import { INPUT_KINDS } from '../input/input-kind.ts';
import { readText } from '../input/read-text.ts';
import { parseReport } from './parse-report.ts';

/** A way to a state in which a property does not hold. */
export interface Story {
  readonly property: string;
  readonly actions: readonly string[];
}

/** The stories of a report that `heki explore --json` wrote. @throws {InputError} when it is none */
export async function readStories(path: string): Promise<Story[]> {
  const { properties } = parseReport(await readText(path, INPUT_KINDS.stories), path);
  return properties.flatMap(({ id, story }) =>
    story === undefined ? [] : [{ property: id, actions: story }],
  );
}

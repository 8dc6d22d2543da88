import { z } from 'zod';
import { INPUT_KINDS } from '../input/input-kind.ts';
import { parseJson } from '../input/parse-json.ts';
import { readText } from '../input/read-text.ts';

/** A way to a state in which a property does not hold. */
export interface Story {
  readonly property: string;
  readonly actions: readonly string[];
}

/** Of what `heki explore --json` prints, what a story is told by. */
const reportSchema = z.looseObject({
  properties: z.array(
    z.looseObject({ id: z.string().max(100), story: z.array(z.string().max(1000)).max(1000).optional() }),
  ),
});

/** The stories of a report that `heki explore --json` wrote. @throws {InputError} when it is none */
export async function readStories(path: string): Promise<Story[]> {
  const { properties } = parseJson(await readText(path, INPUT_KINDS.stories), path, reportSchema);
  return properties.flatMap(({ id, story }) =>
    story === undefined ? [] : [{ property: id, actions: story }],
  );
}

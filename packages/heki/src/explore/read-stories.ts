import { INPUT_KINDS } from '../input/input-kind.ts';
import { readText } from '../input/read-text.ts';
import { type MachineOptions, parseReport } from './parse-report.ts';

/** A way to a state in which a property does not hold. */
interface Story {
  readonly property: string;
  readonly actions: readonly string[];
}

/** The stories of a file, and the machine that they were found on; what was chosen of it where the file was written to be told again. */
export interface Stories {
  readonly path: string;
  readonly stories: readonly Story[];
  readonly machine: string | undefined;
  readonly options: MachineOptions;
}

/** Reads what `heki explore --json` printed, or `--write` wrote. @throws {InputError} when it is neither */
export async function readStories(path: string): Promise<Stories> {
  const { machine, options, properties } = parseReport(await readText(path, INPUT_KINDS.stories), path);
  const stories = properties.flatMap(({ id, story }) =>
    story === undefined ? [] : [{ property: id, actions: story }],
  );
  return { path, stories, machine, options: options ?? {} };
}

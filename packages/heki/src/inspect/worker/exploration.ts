import type { Exploration } from '@heki/inspector';
import { parseReport } from '../../explore/parse-report.ts';
import { InputError } from '../../failure.ts';
import { INPUT_KINDS } from '../../input/input-kind.ts';
import { printable } from '../../printable.ts';

/** What errors call it: its file's name is not in a page's address. */
const NAME = 'the report';

/** What a report of `heki explore --json` says. @throws {InputError} as `heki explore --replay` does when it is none */
export function explorationOf(json: string): Exploration {
  const { name, mostBytes } = INPUT_KINDS.stories;
  if (json.length > mostBytes)
    throw new InputError(`expected ${name}, at most ${mostBytes} bytes`, { file: NAME });
  const { machine, title, properties } = parseReport(json, NAME);
  const shown = (text: string | undefined) => (text === undefined ? null : printable(text));
  return {
    machine: shown(machine),
    title: shown(title),
    properties: properties.map(({ id, says, verdict, story }) => ({
      id: printable(id),
      says: shown(says),
      verdict: shown(verdict),
      story: story === undefined ? null : story.map((action) => printable(action)),
    })),
  };
}

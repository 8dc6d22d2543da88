import { loadScenario } from '@heki/scenario/schema';
import { z } from 'zod';
import { parseReport } from '../explore/parse-report.ts';
import { InputError } from '../failure.ts';
import { INPUT_KINDS } from '../input/input-kind.ts';
import { parseJson } from '../input/parse-json.ts';
import { readText } from '../input/read-text.ts';

const name = z.string().min(1).max(100);
/** By what the files that hold a story are told apart. */
const storySchema = z.looseObject({
  schema: z.looseObject({ name }).optional(),
  properties: z.unknown().optional(),
  steps: z.unknown().optional(),
});
/** Of what `heki attack --json` prints, by what the story that it tells is chosen. */
const attackSchema = z.looseObject({
  machines: z.array(z.looseObject({ name })).min(1),
  attacks: z
    .array(z.looseObject({ name, verdicts: z.record(z.string(), z.looseObject({ verdict: z.string() })) }))
    .min(1),
});

/**
 * Where in the inspector the story in a file is told, as the part of an address behind `#`.
 *
 * @throws {InputError} when it is none
 * @throws {ScenarioError} for a scenario that `heki boot --scenario` would not take either, or that names other files
 */
export async function storyPlace(path: string): Promise<string> {
  const text = await readText(path, INPUT_KINDS.inspectedStory);
  const { schema, properties, steps } = parseJson(text, path, storySchema);
  if (schema?.name === 'attack') {
    const { machines, attacks } = parseJson(text, path, attackSchema);
    return `attacks?${new URLSearchParams(tellingPair(machines, attacks))}`;
  }
  if (properties !== undefined) {
    parseReport(text, path);
    return `attacks?${new URLSearchParams({ report: text })}`;
  }
  if (steps === undefined)
    throw new InputError(`expected ${INPUT_KINDS.inspectedStory.name}`, { file: path });
  await loadScenario(path, (file) => {
    if (file === path) return text;
    throw new InputError('expected none, for no other files are read in a page', { file });
  });
  return `time?${new URLSearchParams({ scenario: text })}`;
}

/** The first attack that comes out otherwise on two of the machines, and these; the first of all where each comes out alike. */
function tellingPair(
  machines: z.infer<typeof attackSchema>['machines'],
  attacks: z.infer<typeof attackSchema>['attacks'],
): Record<string, string> {
  const first = machines[0]?.name ?? '';
  for (const { name: attack, verdicts } of attacks) {
    const other = machines.find(
      (machine) => verdicts[machine.name]?.verdict !== verdicts[first]?.verdict,
    )?.name;
    if (other !== undefined) return { attack, left: first, right: other };
  }
  return { attack: attacks[0]?.name ?? '', left: first, right: machines[1]?.name ?? first };
}

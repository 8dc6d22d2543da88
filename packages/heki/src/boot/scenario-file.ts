import { dirname, join, resolve } from 'node:path';
import { type ComposedScenario, composeScenario, parseScenario, type Scenario } from '@heki/scenario';
import { InputError } from '../failure.ts';
import { readText } from '../read-text.ts';

/** A scenario file with all that it includes. @throws {InputError} for text that is no JSON; {ScenarioError} for what is no scenario */
export async function readScenario(path: string): Promise<ComposedScenario> {
  const files = new Map<string, Scenario>();
  const load = async (file: string): Promise<void> => {
    if (files.has(file)) return;
    const scenario = parseScenario(parseJson(await readText(file), file), file);
    files.set(file, withKernelBeside(scenario, dirname(file)));
    for (const included of scenario.include ?? []) await load(join(dirname(file), included));
  };
  await load(path);
  const find = (source: string): Scenario => {
    const scenario = files.get(source);
    if (scenario === undefined) throw new InputError(`${source}: not read`);
    return scenario;
  };
  return composeScenario(find(path), path, (included, from) => {
    const source = join(dirname(from), included);
    return { scenario: find(source), source };
  });
}

/** The scenario with the path of its kernel as seen from here. */
function withKernelBeside(scenario: Scenario, folder: string): Scenario {
  const { machine } = scenario;
  if (machine?.kernel === undefined) return scenario;
  return { ...scenario, machine: { ...machine, kernel: resolve(folder, machine.kernel) } };
}

function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new InputError(`${path}: not JSON (${error instanceof Error ? error.message : String(error)})`);
  }
}

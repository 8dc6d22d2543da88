import { joinSpecifications, type MachineSpecification } from '@heki/machine';
import type { ComposedScenario } from '../composed-scenario.ts';
import { ScenarioError } from '../error.ts';
import { parseScenarioText } from './parse-scenario.ts';
import type { Scenario } from './scenario-schema.ts';

/** Files that include each other can ask for more than anybody waits for: of steps, of their own number, of text. */
const MOST_STEPS = 10_000;
const MOST_INCLUDED = 1000;
const MOST_CHARACTERS = 16 * 2 ** 20;
const MOST_NESTED = 32;

/**
 * Reads a scenario file with everything that it includes: steps of included ones come first, and of the machine counts what the outermost says.
 *
 * @param file its name; names of included files and of kernels are relative to the file that they stand in
 * @param read gives the text of a file
 * @throws {ScenarioError} for what is no scenario, when one includes itself, and beyond 10,000 steps, 1,000 inclusions of files, 32
 *   of them in each other, or 16 Mi characters of text; and whatever `read` throws
 */
export async function loadScenario(
  file: string,
  read: (file: string) => string | Promise<string>,
): Promise<ComposedScenario> {
  const files = new Map<string, Scenario>();
  let included = 0;
  let characters = 0;
  const find = async (name: string, from: string | undefined): Promise<Scenario> => {
    const known = files.get(name);
    if (known !== undefined) return known;
    const content = await text(name, from);
    characters += content.length;
    if (characters > MOST_CHARACTERS)
      throw wrong(name, `${characters} characters with the other files, expected at most ${MOST_CHARACTERS}`);
    const scenario = parseScenarioText(content, name);
    files.set(name, scenario);
    return scenario;
  };
  const text = async (name: string, from: string | undefined): Promise<string> => {
    try {
      return await read(name);
    } catch (error) {
      if (from === undefined || !(error instanceof Error)) throw error;
      throw new ScenarioError(`${from} includes ${name}: ${error.message}`, { file: name }, error);
    }
  };
  const compose = async (name: string, above: readonly string[]): Promise<ComposedScenario> => {
    if (above.includes(name)) throw wrong(name, 'includes itself');
    if (above.length > MOST_NESTED)
      throw wrong(name, `included ${above.length} deep, expected at most ${MOST_NESTED}`);
    if (included++ > MOST_INCLUDED)
      throw wrong(name, `inclusion ${included - 1} of a file, expected at most ${MOST_INCLUDED} in all`);
    const scenario = await find(name, above.at(-1));
    const parts: ComposedScenario[] = [];
    for (const included of scenario.include ?? []) {
      parts.push(await compose(beside(included, name), [...above, name]));
    }
    const expectations = [
      ...parts.flatMap(({ expectRights = [] }) => expectRights),
      ...(scenario.expectRights ?? []),
    ];
    const composed = {
      title: scenario.title,
      machine: joinSpecifications(...parts.map(({ machine }) => machine), machineOf(scenario, name)),
      initcalls: [...parts.flatMap(({ initcalls = [] }) => initcalls), ...(scenario.initcalls ?? [])],
      expectRights: expectations.length === 0 ? undefined : expectations,
      steps: [...parts.flatMap(({ steps }) => steps), ...(scenario.steps ?? [])],
    };
    const steps = composed.initcalls.length + composed.steps.length + expectations.length;
    if (steps > MOST_STEPS)
      throw wrong(
        name,
        `${steps} steps and expectations with what it includes, expected at most ${MOST_STEPS}`,
      );
    return composed;
  };
  return compose(beside(file, ''), []);
}

function wrong(file: string, what: string): ScenarioError {
  return new ScenarioError(`${file}: ${what}`, { file });
}

/** What a file says of the machine, with the path of its kernel as `read` wants it. */
function machineOf({ machine = {} }: Scenario, file: string): MachineSpecification {
  return machine.kernel === undefined ? machine : { ...machine, kernel: beside(machine.kernel, file) };
}

/** `path`, which is relative to the folder of `file`; one path, however it is written. */
function beside(path: string, file: string): string {
  const absolute = path.startsWith('/') || /^[a-z]:/i.test(path);
  const parts: string[] = [];
  for (const part of (absolute ? path : `${file.slice(0, file.lastIndexOf('/') + 1)}${path}`).split('/')) {
    if (part === '.' || (part === '' && parts.length > 0)) continue;
    if (part === '..' && !['..', '', undefined].includes(parts.at(-1))) parts.pop();
    else parts.push(part);
  }
  return parts.join('/');
}

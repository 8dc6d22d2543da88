import { type Attack, isModulePath, joinSpecifications, type MachineSpecification } from '@heki/machine';
import type { ErrorPlace } from '@heki/physical-memory';
import { knownAttacks, noAttack } from '../attack-names.ts';
import type { ComposedScenario } from '../composed-scenario.ts';
import { placeText, ScenarioError } from '../error.ts';
import { SCENARIO_LIMITS } from '../limits.ts';
import { parseScenarioText } from './parse-scenario.ts';
import { parsePositions } from './positions.ts';
import type { Scenario } from './scenario-schema.ts';

/** What a scenario's files can have beside their own text. */
export interface ScenarioSources {
  /** Attacks that the caller has: every step can name them. */
  readonly attacks?: readonly Attack[] | undefined;
  /** Gives the attacks of a module that a file names. Without it a file that names one is refused. */
  readonly loadAttacks?: ((file: string) => Promise<readonly Attack[]>) | undefined;
}

/** A file of a scenario. */
interface ScenarioFile {
  readonly name: string;
  readonly text: string;
  readonly scenario: Scenario;
}

/** A scenario and the files that it is made of, the outermost last. */
interface Composition extends ComposedScenario {
  readonly attacks: readonly Attack[];
  readonly files: readonly ScenarioFile[];
}

/**
 * Reads a scenario file with everything that it includes: steps of included ones come first, and of the machine counts what the outermost says.
 *
 * @param file its name; names of included files, kernels and modules are relative to the file that they stand in
 * @param read gives the text of a file
 * @throws {ScenarioError} for what is not a scenario, when one includes itself, for an attack that neither heki nor `sources` has, and
 *   beyond 10,000 steps, 1,000 inclusions of files, 32 of them in each other, or 16 Mi characters of text; and whatever `read` and
 *   `loadAttacks` throw
 */
export async function loadScenario(
  file: string,
  read: (file: string) => string | Promise<string>,
  sources: ScenarioSources = {},
): Promise<ComposedScenario> {
  const files = new Map<string, ScenarioFile>();
  let included = 0;
  let characters = 0;
  const find = async (name: string, from: string | undefined): Promise<ScenarioFile> => {
    const known = files.get(name);
    if (known !== undefined) return known;
    const text = await textOf(name, from);
    characters += text.length;
    if (characters > SCENARIO_LIMITS.characters)
      throw wrong(
        name,
        `${characters} characters with the other files, expected at most ${SCENARIO_LIMITS.characters}`,
      );
    const found = { name, text, scenario: parseScenarioText(text, name) };
    files.set(name, found);
    return found;
  };
  const textOf = async (name: string, from: string | undefined): Promise<string> => {
    try {
      return await read(name);
    } catch (error) {
      if (from === undefined || !(error instanceof Error)) throw error;
      throw new ScenarioError(`${from} includes ${name}: ${error.message}`, { file: name }, error);
    }
  };
  const loadAttacks = async (path: string, from: ScenarioFile, at: number): Promise<readonly Attack[]> => {
    if (sources.loadAttacks !== undefined) return sources.loadAttacks(beside(path, from.name));
    throw wrongAt(from, ['attacks', at], `${path}: expected none, for modules are not loaded here`);
  };
  const compose = async (name: string, above: readonly string[]): Promise<Composition> => {
    if (above.includes(name)) throw wrong(name, 'includes itself');
    if (above.length > SCENARIO_LIMITS.nesting)
      throw wrong(name, `included ${above.length} deep, expected at most ${SCENARIO_LIMITS.nesting}`);
    if (included++ > SCENARIO_LIMITS.inclusions)
      throw wrong(
        name,
        `inclusion ${included - 1} of a file, expected at most ${SCENARIO_LIMITS.inclusions} in all`,
      );
    const found = await find(name, above.at(-1));
    const { scenario } = found;
    const parts: Composition[] = [];
    for (const included of scenario.include ?? []) {
      parts.push(await compose(beside(included, name), [...above, name]));
    }
    const attacks = new Set(parts.flatMap((part) => part.attacks));
    for (const [at, path] of (scenario.attacks ?? []).entries()) {
      for (const attack of await loadAttacks(path, found, at)) attacks.add(attack);
    }
    checkAttacks(found, knownAttacks([...attacks, ...(sources.attacks ?? [])]));
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
      attacks: [...attacks],
      files: [...parts.flatMap((part) => part.files), found],
    };
    const steps = composed.initcalls.length + composed.steps.length + expectations.length;
    if (steps > SCENARIO_LIMITS.steps)
      throw wrong(
        name,
        `${steps} steps and expectations with what it includes, expected at most ${SCENARIO_LIMITS.steps}`,
      );
    return composed;
  };
  const { files: all, attacks, ...composed } = await compose(beside(file, ''), []);
  return {
    ...composed,
    attacks: [...attacks, ...(sources.attacks ?? [])],
    wrongAt(path, what) {
      const last = all.findLast(({ scenario }) => isSaid(scenario, path));
      return last && wrongAt(last, path, what);
    },
  };
}

/** @throws {ScenarioError} with the place of each step that names an attack that is not among `attacks` */
function checkAttacks(file: ScenarioFile, attacks: readonly Attack[]): void {
  const names = new Set(attacks.map(({ name }) => name));
  const wrong = (['initcalls', 'steps'] as const).flatMap((list) =>
    (file.scenario[list] ?? []).flatMap((step, index) =>
      'how' in step && !names.has(step.how)
        ? [wrongAt(file, [list, index, 'how'], noAttack(step.how, attacks))]
        : [],
    ),
  );
  const [first] = wrong;
  if (first === undefined) return;
  throw new ScenarioError(wrong.map(({ message }) => message).join('\n'), first.place);
}

/** The place of a value in a file. */
function placeIn({ name, text }: ScenarioFile, path: readonly PropertyKey[]): ErrorPlace {
  const [list, index] = path;
  return {
    file: name,
    ...parsePositions(text).positionOf(path),
    ...(list !== 'machine' && typeof index === 'number' ? { step: `${String(list)}.${index}` } : {}),
  };
}

function wrongAt(file: ScenarioFile, path: readonly PropertyKey[], what: string): ScenarioError {
  const place = placeIn(file, path);
  return new ScenarioError(`${placeText(place)} at ${path.join('.')}: ${what}`, place);
}

function isSaid(value: object, path: readonly string[]): boolean {
  let at: unknown = value;
  for (const key of path) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, key)) return false;
    at = Reflect.get(at, key);
  }
  return true;
}

function wrong(file: string, what: string): ScenarioError {
  return new ScenarioError(`${file}: ${what}`, { file });
}

/** What a file says of the machine, with the paths of its kernel and its hypervisor as the caller wants them. */
function machineOf({ machine = {} }: Scenario, file: string): MachineSpecification {
  const { kernel, hypervisor } = machine;
  return {
    ...machine,
    kernel: kernel === undefined ? undefined : beside(kernel, file),
    hypervisor:
      hypervisor !== undefined && isModulePath(hypervisor)
        ? modulePath(beside(hypervisor, file))
        : hypervisor,
  };
}

/** `path` with a slash, by which it is told from a name. */
function modulePath(path: string): string {
  return isModulePath(path) ? path : `./${path}`;
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

import type { z } from 'zod';
import { ScenarioError } from '../error.ts';
import { machineSchema, processorSchema } from './machine-schema.ts';
import { type Position, positionsIn, syntaxErrorPosition } from './positions.ts';
import { type Scenario, scenarioSchema } from './scenario-schema.ts';
import { KINDS_OF_STEPS, KINDS_OF_WORK, stepSchema } from './step-schema.ts';

/**
 * Checks that `value` is a scenario.
 *
 * @param source where it comes from, for errors: a file's name
 * @throws {ScenarioError} names every place that is wrong, and what was expected there
 */
export function parseScenario(value: unknown, source: string): Scenario {
  return parse(value, source, () => undefined);
}

/**
 * The scenario in the text of a file.
 *
 * @param source the file's name
 * @throws {ScenarioError} for text that is not JSON, and for what is not a scenario: names every place with its line and column
 */
export function parseScenarioText(text: string, source: string): Scenario {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const position = syntaxErrorPosition(text);
    throw new ScenarioError(`${source}${positionText(position)}: not JSON (${why})`, {
      file: source,
      ...position,
    });
  }
  // Only what is wrong has a place: parsing again takes ten times as long.
  let positionOf: ReturnType<typeof positionsIn> | undefined;
  return parse(value, source, (path) => {
    positionOf ??= positionsIn(text);
    return positionOf(path);
  });
}

/** Files can have more mistakes than anybody reads at once. */
const MOST_ISSUES = 20;

function parse(
  value: unknown,
  source: string,
  positionOf: (path: readonly PropertyKey[]) => Position | undefined,
): Scenario {
  const result = scenarioSchema.safeParse(value);
  if (result.success) return result.data;
  const issues = result.error.issues.flatMap(innermost);
  const lines = issues
    .slice(0, MOST_ISSUES)
    .map((issue) => `${source}${positionText(positionOf(issue.path))}${issueText(issue, value)}`);
  if (issues.length > MOST_ISSUES) lines.push(`${source}: ${issues.length - MOST_ISSUES} more`);
  const first = issues[0]?.path ?? [];
  const [list, index] = first;
  throw new ScenarioError(lines.join('\n'), {
    file: source,
    ...positionOf(first),
    ...((list === 'steps' || list === 'initcalls') && typeof index === 'number'
      ? { step: `${list}.${index}` }
      : {}),
  });
}

function positionText(position: Position | undefined): string {
  return position === undefined ? '' : `:${position.line}:${position.column}`;
}

/** The place of an issue, what stands there, and what was expected. */
function issueText(issue: z.core.$ZodIssue, value: unknown): string {
  const place = issue.path.length === 0 ? '' : ` at ${issue.path.join('.')}`;
  if (issue.code === 'unrecognized_keys') {
    const known = keysAt(issue.path, value).filter((key) => key !== '$schema');
    return `${place}: ${issue.keys.join(', ')}: expected ${known.join(', ')}`;
  }
  const expected =
    issue.code === 'invalid_union' && 'discriminator' in issue
      ? `expected one of ${(issue.path.includes('work') ? KINDS_OF_WORK : KINDS_OF_STEPS).join(', ')}`
      : lowerFirst(issue.message);
  return `${place}: ${shown(valueAt(value, issue.path))}: ${expected}`;
}

/** Of a value that may be of several kinds, what is wrong with it as the kind that it most looks like. */
function innermost(issue: z.core.$ZodIssue): z.core.$ZodIssue[] {
  if (issue.code !== 'invalid_union' || issue.errors.length === 0) return [issue];
  const isOtherKind = (errors: readonly z.core.$ZodIssue[]): boolean =>
    errors.some(
      ({ code, path }) => path.length === 0 && (code === 'invalid_type' || code === 'invalid_value'),
    );
  const kind = issue.errors.find((errors) => !isOtherKind(errors)) ?? issue.errors[0] ?? [];
  return kind.flatMap((one) => innermost({ ...one, path: [...issue.path, ...one.path] }));
}

/** The names that the object at `path` may have. */
function keysAt([first, ...path]: readonly PropertyKey[], value: unknown): readonly string[] {
  if (first === undefined) return Object.keys(scenarioSchema.shape);
  if (first === 'machine') {
    const [, level] = path;
    if (path.length === 0) return Object.keys(machineSchema.shape);
    const { ept, npt } = processorSchema.shape;
    if (level === 'ept' || level === 'npt') return Object.keys((level === 'ept' ? ept : npt).unwrap().shape);
    return Object.keys(processorSchema.shape);
  }
  if (first === 'expectRights') return ['of', 'grants', 'never'];
  const nested = path.slice(1).filter((key) => key === 'work');
  const kind = valueAt(value, [first, path[0] ?? 0, ...nested, 'do']);
  return Object.keys(stepSchema.options.find(({ shape }) => shape.do.value === kind)?.shape ?? {});
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (at, key) => (typeof at === 'object' && at !== null ? Reflect.get(at, key) : undefined),
    value,
  );
}

function shown(value: unknown): string {
  const text = jsonOf(value);
  return text.length > 60 ? `${text.slice(0, 60)}...` : text;
}

function jsonOf(value: unknown): string {
  try {
    return JSON.stringify(value) ?? 'missing';
  } catch {
    // What was parsed is nested deeper than the stack of the printer.
    return 'a value that is nested too deep to print';
  }
}

const lowerFirst = (text: string): string => `${text.charAt(0).toLowerCase()}${text.slice(1)}`;

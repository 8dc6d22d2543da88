import { nearMatches } from '@heki/series';
import type { z } from 'zod';
import { placeText, ScenarioError } from '../error.ts';
import { machineSchema, processorSchema } from './machine-schema.ts';
import {
  type JsonText,
  type LostKey,
  type Position,
  parsePositions,
  syntaxErrorPosition,
} from './positions.ts';
import { type Scenario, scenarioSchema } from './scenario-schema.ts';
import { KINDS_OF_STEPS, KINDS_OF_WORK, stepSchema } from './step-schema.ts';

/**
 * Checks that `value` is a scenario.
 *
 * @param source where it comes from, for errors: a file's name
 * @throws {ScenarioError} names every place that is wrong, and what was expected there
 */
export function parseScenario(value: unknown, source: string): Scenario {
  return parse(value, source, undefined);
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
    const place = { file: source, ...syntaxErrorPosition(text, why) };
    throw new ScenarioError(`${placeText(place)}: not JSON (${why})`, place);
  }
  return parse(value, source, parsePositions(text));
}

/** Files can have more mistakes than anybody reads at once. */
const MOST_ISSUES = 20;

/** One thing that is wrong. */
interface Issue {
  readonly path: readonly PropertyKey[];
  readonly position: Position | undefined;
  readonly what: string;
}

function parse(value: unknown, source: string, text: JsonText | undefined): Scenario {
  const result = scenarioSchema.safeParse(value);
  const issues = [
    ...(text?.lostKeys ?? []).map(lostKeyIssue),
    ...(result.error?.issues ?? []).flatMap(innermost).flatMap((issue) => issuesOf(issue, value, text)),
  ].sort(({ position: a }, { position: b }) =>
    a === undefined || b === undefined ? 0 : a.line - b.line || a.column - b.column,
  );
  const [first] = issues;
  if (result.success && first === undefined) return result.data;
  const lines = issues.slice(0, MOST_ISSUES).map(({ path, position, what }) => {
    const at = path.length === 0 ? '' : ` at ${path.map(keyText).join('.')}`;
    return `${placeText({ file: source, ...position })}${at}: ${what}`;
  });
  if (issues.length > MOST_ISSUES) lines.push(`${source}: ${issues.length - MOST_ISSUES} more`);
  const [list, index] = first?.path ?? [];
  throw new ScenarioError(lines.join('\n'), {
    file: source,
    ...first?.position,
    ...((list === 'steps' || list === 'initcalls') && typeof index === 'number'
      ? { step: `${list}.${index}` }
      : {}),
  });
}

function lostKeyIssue({ path, key, position }: LostKey): Issue {
  const what = key === '__proto__' ? 'expected another name' : 'stands there twice, expected once';
  return { path, position, what: `${keyText(key)}: ${what}` };
}

/** What is wrong in words: what stands there, and what was expected. */
function issuesOf(issue: z.core.$ZodIssue, value: unknown, text: JsonText | undefined): Issue[] {
  const { path } = issue;
  if (issue.code === 'unrecognized_keys') {
    const known = keysAt(path, value).filter((key) => key !== '$schema' && !issue.keys.includes(key));
    // What is lost is told already.
    const keys = issue.keys.filter((key) => key !== '__proto__' || text === undefined);
    return keys.map((key) => ({
      path,
      position: text?.positionOfKey(path, key),
      what: `${keyText(key)}: expected ${nearest(key, known).join(', ')}`,
    }));
  }
  const found = valueAt(value, path);
  const expected =
    issue.code === 'invalid_union' && 'discriminator' in issue
      ? `expected one of ${nearest(found, path.includes('work') ? KINDS_OF_WORK : KINDS_OF_STEPS).join(', ')}`
      : lowerFirst(issue.message);
  return [{ path, position: text?.positionOf(path), what: `${shown(found)}: ${expected}` }];
}

/** Of `known` names those that look like `found`, which is long enough to tell; all when there are none. */
function nearest(found: unknown, known: readonly string[]): readonly string[] {
  const near = typeof found === 'string' && found.length > 4 ? nearMatches(found, known) : [];
  return near.length > 0 ? near : known;
}

/** A key as a message can show it. */
function keyText(key: PropertyKey): string {
  const text = String(key);
  return /^[\w$-]{1,64}$/.test(text) ? text : shown(text);
}

/** Of a value that may be of several kinds, what is wrong with it as the kind that it most looks like. */
function innermost(issue: z.core.$ZodIssue): z.core.$ZodIssue[] {
  if (issue.code !== 'invalid_union' || issue.errors.length === 0) return [issue];
  const isOtherKind = (errors: readonly z.core.$ZodIssue[]): boolean =>
    errors.some(
      ({ code, path }) => path.length === 0 && (code === 'invalid_type' || code === 'invalid_value'),
    );
  const [kind = []] = issue.errors
    .toSorted((a, b) => a.length - b.length)
    .toSorted((a, b) => Number(isOtherKind(a)) - Number(isOtherKind(b)));
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
  // JSON has no infinity, and yet 1e999.
  if (typeof value === 'number') return String(value);
  try {
    return JSON.stringify(value) ?? 'missing';
  } catch {
    // What was parsed is nested deeper than the stack of the printer.
    return 'a value that is nested too deep to print';
  }
}

const lowerFirst = (text: string): string => `${text.charAt(0).toLowerCase()}${text.slice(1)}`;

import type { z } from 'zod';
import { ScenarioError } from '../error.ts';
import { machineSchema } from './machine-schema.ts';
import { type Scenario, scenarioSchema } from './scenario-schema.ts';
import { KINDS_OF_STEPS, stepSchema } from './step-schema.ts';

/**
 * Checks that `value` is a scenario.
 *
 * @param source where it comes from, for errors: a file's name
 * @throws {ScenarioError} names the place and what was expected there
 */
export function parseScenario(value: unknown, source: string): Scenario {
  const result = scenarioSchema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new ScenarioError(`${source}${issue === undefined ? ': no scenario' : issueText(issue, value)}`);
}

/** The place of an issue, what stands there, and what was expected. */
function issueText(issue: z.core.$ZodIssue, value: unknown): string {
  const place = issue.path.length === 0 ? '' : ` at ${issue.path.join('.')}`;
  if (issue.code === 'unrecognized_keys') {
    const known = Object.keys(shapeAt(issue.path, value)).filter((key) => key !== '$schema');
    return `${place}: ${issue.keys.join(', ')}: expected ${known.join(', ')}`;
  }
  const found = valueAt(value, issue.path);
  const expected =
    issue.code === 'invalid_union'
      ? `expected one of ${KINDS_OF_STEPS.join(', ')}`
      : lowerFirst(issue.message);
  return `${place}: ${shown(found)}: ${expected}`;
}

/** The fields of the object at `path`. */
function shapeAt([first, index]: readonly PropertyKey[], value: unknown): z.ZodRawShape {
  if (first === undefined) return scenarioSchema.shape;
  if (first === 'machine') return machineSchema.shape;
  const kind = valueAt(value, [first, index ?? 0, 'do']);
  return stepSchema.options.find(({ shape }) => shape.do.value === kind)?.shape ?? {};
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (at, key) => (typeof at === 'object' && at !== null ? Reflect.get(at, key) : undefined),
    value,
  );
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? 'missing';
  return text.length > 60 ? `${text.slice(0, 60)}...` : text;
}

const lowerFirst = (text: string): string => `${text.charAt(0).toLowerCase()}${text.slice(1)}`;

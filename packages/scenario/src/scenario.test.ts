import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { parseScenario, ScenarioError } from './index.ts';
import { scenarioSchema } from './scenario.ts';

describe('a scenario', () => {
  test('has the JSON Schema that is shipped', async () => {
    const schema = { ...z.toJSONSchema(scenarioSchema, { io: 'input' }), title: 'heki scenario' };
    await expect(`${JSON.stringify(schema, undefined, 2)}\n`).toMatchFileSnapshot('../scenario.schema.json');
  });

  test.each<[value: unknown, place: string]>([
    [[], 'file.json: '],
    [{ machine: { memory: '4 GB' } }, 'file.json at machine.memory: expected a number of MiB or GiB'],
    [{ machine: { levels: 3 } }, 'file.json at machine.levels: '],
    [{ machine: { cpus: 3 } }, 'file.json at machine: '],
    [{ steps: [{ do: 'suspend' }, { do: 'fly' }] }, 'file.json at steps.1'],
    [{ steps: [{ do: 'cpu-up', cpu: -1 }] }, 'file.json at steps.0.cpu: '],
    [{ steps: [{ do: 'suspend', expect: 'peace' }] }, 'file.json at steps.0.expect: '],
    [{ steps: [{ do: 'suspend', count: 3 }] }, 'file.json at steps.0: '],
  ])('that is none is refused with its place: %j', (value, message) => {
    expect(() => parseScenario(value, 'file.json')).toThrow(ScenarioError);
    expect(() => parseScenario(value, 'file.json')).toThrow(message);
  });
});

import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { parseScenario, ScenarioError } from './index.ts';
import { scenarioSchema } from './scenario-schema.ts';

describe('a scenario', () => {
  test('has the JSON Schema that is shipped', async () => {
    const schema = { ...z.toJSONSchema(scenarioSchema, { io: 'input' }), title: 'heki scenario' };
    await expect(`${JSON.stringify(schema, undefined, 2)}\n`).toMatchFileSnapshot(
      '../../scenario.schema.json',
    );
  });

  test.each<[value: unknown, place: string]>([
    [[], 'file.json: '],
    [null, 'file.json: null: invalid input: expected object, received null'],
    [{ machine: { memory: '4 GB' } }, 'file.json at machine.memory: "4 GB": expected a number of MiB or GiB'],
    [{ machine: { memory: '300GiB' } }, 'file.json at machine.memory: "300GiB": expected a number of MiB'],
    [{ machine: { vcpus: 0 } }, 'file.json at machine.vcpus: 0: too small: expected number to be >=1'],
    [{ machine: { levels: 3 } }, 'file.json at machine.levels: '],
    [{ stepz: [] }, 'file.json: stepz: expected title, include, machine, initcalls, steps'],
    [{ machine: { cpus: 3 } }, 'file.json at machine: cpus: expected memory, pluggable, kernel, vcpus'],
    [
      { steps: [{ do: 'suspend' }, { do: 'fly' }] },
      'file.json at steps.1.do: "fly": expected one of load-module, unload-module',
    ],
    [{ steps: [{ name: 'm' }] }, 'file.json at steps.0.do: missing: expected one of load-module'],
    [{ steps: [{ do: 'cpu-up', cpu: -1 }] }, 'file.json at steps.0.cpu: '],
    [{ steps: [{ do: 'suspend', expect: 'peace' }] }, 'file.json at steps.0.expect: '],
    [
      { steps: [{ do: 'vfree', pages: 3, name: 'a' }] },
      'file.json at steps.0: pages: expected do, expect, name',
    ],
  ])('that is none is refused with its place: %j', (value, message) => {
    expect(() => parseScenario(value, 'file.json')).toThrow(ScenarioError);
    expect(() => parseScenario(value, 'file.json')).toThrow(message);
  });
});

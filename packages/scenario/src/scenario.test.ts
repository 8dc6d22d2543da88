import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { composeScenario, memoryBytes, parseScenario, type Scenario, ScenarioError } from './index.ts';
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

  test('takes the steps of what it includes first, and says the last word about the machine', () => {
    const files: Record<string, Scenario> = {
      a: { include: ['b', 'c'], machine: { vcpus: 4 }, steps: [{ do: 'suspend' }] },
      b: { include: ['c'], machine: { vcpus: 2, memory: '1GiB' }, steps: [{ do: 'release-memory' }] },
      c: {
        machine: { profile: 'rfc-v2' },
        initcalls: [{ do: 'load-bpf', name: 'p' }],
        steps: [{ do: 'untrace' }],
      },
    };
    const find = (name: string): Scenario => files[name] ?? {};
    const load = (path: string) => ({ scenario: find(path), source: path });
    expect(composeScenario(find('a'), 'a', load)).toEqual({
      machine: { vcpus: 4, memory: '1GiB', profile: 'rfc-v2' },
      initcalls: [
        { do: 'load-bpf', name: 'p' },
        { do: 'load-bpf', name: 'p' },
      ],
      steps: [{ do: 'untrace' }, { do: 'release-memory' }, { do: 'untrace' }, { do: 'suspend' }],
    });
  });

  test('that includes itself is refused', () => {
    const load = () => ({ scenario: { include: ['b'] }, source: 'a' });
    expect(() => composeScenario({ include: ['a'] }, 'a', load)).toThrow('a: includes itself');
  });
});

test('memory is in MiB or GiB', () => {
  expect([memoryBytes('512MiB'), memoryBytes('4GiB')]).toEqual([2 ** 29, 2 ** 32]);
});

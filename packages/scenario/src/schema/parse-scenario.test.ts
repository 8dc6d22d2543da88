import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { parseScenario, ScenarioError } from './index.ts';
import { machineSchema } from './machine-schema.ts';
import { parseScenarioText } from './parse-scenario.ts';
import { scenarioSchema } from './scenario-schema.ts';

test('a machine has the JSON Schema that is shipped', async () => {
  const schema = { ...z.toJSONSchema(machineSchema, { io: 'input' }), title: 'heki machine' };
  await expect(`${JSON.stringify(schema, undefined, 2)}\n`).toMatchFileSnapshot('../../machine.schema.json');
});

describe('a scenario', () => {
  test('has the JSON Schema that is shipped', async () => {
    const schema = { ...z.toJSONSchema(scenarioSchema, { io: 'input' }), title: 'heki scenario' };
    await expect(`${JSON.stringify(schema, undefined, 2)}\n`).toMatchFileSnapshot(
      '../../scenario.schema.json',
    );
  });

  test.each<[value: unknown, place: string]>([
    [[], 'file.json: '],
    [
      { steps: [{ do: 'race', seed: 1, how: 'store-text', work: { do: 'suspend', x: 1 } }] },
      'file.json at steps.0.work: x: expected do, expect',
    ],
    [
      { steps: [{ do: 'race', seed: 1, how: 'store-text', work: { do: 'race' } }] },
      'file.json at steps.0.work.do: "race": expected one of load-module, ',
    ],
    [
      { steps: [{ do: 'attack', how: 'Store Text' }] },
      'file.json at steps.0.how: "Store Text": expected the name of an attack: ',
    ],
    [null, 'file.json: null: invalid input: expected object, received null'],
    [{ machine: { memory: '4 GB' } }, 'file.json at machine.memory: "4 GB": expected a number of MiB or GiB'],
    [{ machine: { memory: '300GiB' } }, 'file.json at machine.memory: "300GiB": expected a number of MiB'],
    [{ machine: { vcpus: 0 } }, 'file.json at machine.vcpus: 0: too small: expected number to be >=1'],
    [{ machine: { levels: 3 } }, 'file.json at machine.levels: '],
    [{ stepz: [] }, 'file.json: stepz: expected steps'],
    [
      { todo: [] },
      'file.json: todo: expected title, include, machine, attacks, initcalls, steps, expectRights',
    ],
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
      'file.json at steps.0: pages: expected do, expect, cpu, name',
    ],
    [
      { machine: { cpu: 'zen' } },
      'file.json at machine.cpu: "zen": invalid option: expected one of "intel-vt-rp"',
    ],
    [{ machine: { cpu: { base: 'zen' } } }, 'file.json at machine.cpu.base: "zen": invalid option'],
    [
      { machine: { cpu: { base: 'amd-zen4', npt: { gmt: true } } } },
      'file.json at machine.cpu.npt: gmt: expected gmet, readOnlyGuestPageTables',
    ],
    [{ machine: { defects: { 'B-H1': 1 } } }, 'file.json at machine.defects.B-H1: 1: invalid input'],
    [
      { expectRights: [{ of: 'every page', grants: 'w' }] },
      'file.json at expectRights.0.grants: "w": expected',
    ],
  ])('that is malformed is refused with its place: %j', (value, message) => {
    expect(() => parseScenario(value, 'file.json')).toThrow(ScenarioError);
    expect(() => parseScenario(value, 'file.json')).toThrow(message);
  });

  test('is told of all its mistakes at once, each with its line and column', () => {
    const text = `{
  "machine": { "vcpus": 0, "cpu": "zen" },
  "steps": [
    { "do": "fly" },
    { "do": "vfree", "name": 3 },
    { "do": "cpu-up" }
  ],
  "stepz": []
}`;
    const { message } = refusalOf(text);
    expect(message.split('\n').map((line) => line.split(': ')[0])).toEqual([
      'file.json:2:25 at machine.vcpus',
      'file.json:2:35 at machine.cpu',
      'file.json:4:13 at steps.0.do',
      'file.json:5:30 at steps.1.name',
      'file.json:6:5 at steps.2.cpu',
      'file.json:8:3',
    ]);
  });

  test.each([
    ['{"machine": {"vcpus": 1,\n "vcpus": 2}}', ':2:2 at machine: vcpus: stands there twice, expected once'],
    ['{"steps": [],\n "steps": []}', ':2:2: steps: stands there twice, expected once'],
    [
      '{"machine": {"defects": {"__proto__": true}}}',
      ':1:26 at machine.defects: __proto__: expected another name',
    ],
    [
      '{"machine": {"cpus": 2,\n "mem": 1}}',
      /:1:14 at machine: cpus: .*\n.*:2:2 at machine: mem: expected memory/,
    ],
    ['{"machine": {"pluggable": 1e999}}', ':1:27 at machine.pluggable: Infinity: '],
    ['{"\\u001b[2J": 1}', ':1:2: "\\u001b[2J": expected title'],
    [
      '{"expectRights": [{"of": "x", "grants": "r-x", "never": "wx"}]}',
      ':1:48 at expectRights.0: never: expected of, grants',
    ],
    [
      '{"expectRights": [{"of": "x", "never": "zz"}]}',
      ':1:40 at expectRights.0.never: "zz": invalid input: expected "wx"',
    ],
    [
      '{"steps": [{"do": "fail-hypercalls"}]}',
      ':1:19 at steps.0.do: "fail-hypercalls": expected one of fail-hypercall',
    ],
  ])('is told what of it is wrong, and where: %s', (text, message) => {
    expect(refusalOf(text).message).toMatch(message);
  });

  test.each([
    ['{"steps": [}', 'file.json:1:12: not JSON'],
    ['{\n  "title": "a\n', 'file.json:2:15: not JSON'],
    ['{"steps": [', 'file.json:1:12: not JSON'],
    ['{"title": "a\u0001b"}', 'file.json:1:13: not JSON'],
    ['', 'file.json:1:1: not JSON'],
    ['['.repeat(200_000), 'file.json:1:200001: not JSON'],
    [`${'['.repeat(100_000)}${']'.repeat(100_000)}`, 'file.json'],
  ])('that is not JSON is refused with the place where it stops being that: %#', (text, message) => {
    expect(refusalOf(text).message).toContain(message);
  });

  test('with more mistakes than anybody reads has the others counted', () => {
    const steps = Array.from({ length: 50 }, () => ({ do: 'fly' }));
    const lines = refusalOf(JSON.stringify({ steps })).message.split('\n');
    expect([lines.length, lines.at(-1)]).toEqual([21, 'file.json: 30 more']);
  });
});

/** The error that the text of a file is refused with. */
function refusalOf(text: string): ScenarioError {
  try {
    parseScenarioText(text, 'file.json');
  } catch (error) {
    if (error instanceof ScenarioError) return error;
    throw error;
  }
  throw new Error('expected a refusal');
}

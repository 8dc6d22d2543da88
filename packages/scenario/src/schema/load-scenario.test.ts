import { describe, expect, test } from 'vitest';
import { loadScenario, type Scenario, ScenarioError } from './index.ts';

/** Loads `a.json` of some files, which are scenarios or texts. */
const load = (files: Readonly<Record<string, Scenario | string>>) =>
  loadScenario('a.json', (name) => {
    const file = files[name];
    if (file === undefined) throw new Error(`${name}: no such file`);
    return typeof file === 'string' ? file : JSON.stringify(file);
  });

describe('a scenario file', () => {
  test('takes the steps of what it includes first, and says the last word about the machine', async () => {
    const files: Record<string, Scenario> = {
      'a.json': {
        title: 'both',
        include: ['b.json', 'c.json'],
        machine: { vcpus: 4 },
        steps: [{ do: 'suspend' }],
      },
      'b.json': {
        include: ['c.json'],
        machine: { vcpus: 2, memory: '1GiB' },
        steps: [{ do: 'release-memory' }],
      },
      'c.json': {
        machine: { profile: 'rfc-v2' },
        initcalls: [{ do: 'load-bpf', name: 'p' }],
        steps: [{ do: 'untrace' }],
      },
    };
    const { wrongAt, ...scenario } = await load(files);
    expect(wrongAt?.(['machine', 'memory'], 'too small')).toMatchObject({
      message: expect.stringMatching(/^\S+json:1:\d+ at machine.memory: too small$/),
      kind: 'input',
      place: { line: 1 },
    });
    expect(wrongAt?.(['machine', 'kernel'], 'too old')).toBeUndefined();
    expect(scenario).toEqual({
      title: 'both',
      machine: { vcpus: 4, memory: '1GiB', profile: 'rfc-v2' },
      initcalls: [
        { do: 'load-bpf', name: 'p' },
        { do: 'load-bpf', name: 'p' },
      ],
      steps: [{ do: 'untrace' }, { do: 'release-memory' }, { do: 'untrace' }, { do: 'suspend' }],
      attacks: [],
      expectRights: undefined,
    });
  });

  test('names other files relative to itself, or by an absolute path', async () => {
    const files: Record<string, Scenario> = {
      'a.json': { include: ['deep/./b.json', '/lives/d.json'] },
      'deep/b.json': { include: ['../other//c.json'], machine: { kernel: '../System.map' } },
      'other/c.json': { machine: { vcpus: 2 } },
      '/lives/d.json': { include: ['../e.json'] },
      '/e.json': { machine: { levels: 5 } },
    };
    expect((await load(files)).machine).toEqual({ kernel: 'System.map', vcpus: 2, levels: 5 });
  });

  test('gives no modules to a caller that loads none', async () => {
    const files = { 'a.json': { attacks: ['./mine.mjs'] } };
    await expect(load(files)).rejects.toThrow(
      'a.json:1:13 at attacks.0: ./mine.mjs: expected none, for modules are not loaded here',
    );
  });

  test('names every step with an attack that there is none of', async () => {
    const steps = ['nope', 'store-text', 'neither'].map((how) => ({ do: 'attack', how }) as const);
    await expect(load({ 'a.json': { steps } })).rejects.toThrow(
      /^a.json:1:32 at steps.0.how: there is no attack nope: .*\na.json:1:9\d at steps.2.how: there is no attack neither: /,
    );
  });

  test('gives a hypervisor that is a module as the path of one', async () => {
    const files = { 'a.json': { machine: { hypervisor: './mine.mjs' } } };
    expect((await load(files)).machine).toEqual({ hypervisor: 'mine.mjs' });
  });

  /** Files that include the next one twice, the last with what `last` has. */
  const twice = (count: number, last: Scenario): Record<string, Scenario> => ({
    ...Object.fromEntries(
      Array.from({ length: count }, (_, index) => [
        index === 0 ? 'a.json' : `${index}.json`,
        { include: [`${index + 1}.json`, `${index + 1}.json`] },
      ]),
    ),
    [`${count}.json`]: last,
  });
  test.each<[why: string, files: Readonly<Record<string, Scenario | string>>, message: string | RegExp]>([
    ['no JSON', { 'a.json': '{' }, 'a.json:1:1: not JSON'],
    ['no scenario', { 'a.json': { include: ['b.json'] }, 'b.json': '{"step": []}' }, 'b.json:1:2: step: '],
    ['one that includes itself', { 'a.json': { include: ['./b/../a.json'] } }, 'a.json: includes itself'],
    [
      'one that leads back to itself',
      { 'a.json': { include: ['b.json'] }, 'b.json': { include: ['a.json'] } },
      'a.json: includes itself',
    ],
    [
      'one with more steps than anybody waits for',
      twice(7, { steps: Array.from({ length: 100 }, () => ({ do: 'suspend' })) }),
      '12800 steps and expectations with what it includes, expected at most 10000',
    ],
    [
      'one with more expectations than that',
      twice(7, { expectRights: Array.from({ length: 100 }, () => ({ of: 'every page', never: 'wx' })) }),
      'steps and expectations with what it includes, expected at most 10000',
    ],
    [
      'a few that include each other more often than anybody waits for',
      twice(31, {}),
      'inclusion 1001 of a file, expected at most 1000 in all',
    ],
    [
      'several with more text than memory has room for',
      {
        'a.json': { include: ['1.json', '2.json'] },
        '1.json': `${' '.repeat(2 ** 23)}{}`,
        '2.json': `${' '.repeat(2 ** 23)}{}`,
      },
      /^2.json: 16777\d+ characters with the other files, expected at most 16777216$/,
    ],
  ])('is refused when it is %s', async (_, files, message) => {
    await expect(load(files)).rejects.toThrow(ScenarioError);
    await expect(load(files)).rejects.toThrow(message);
  });

  test('that cannot be read is named with the one that includes it', async () => {
    await expect(load({ 'a.json': { include: ['b.json'] } })).rejects.toThrow(
      'a.json includes b.json: b.json: no such file',
    );
    await expect(load({})).rejects.toThrow(/^a.json: no such file$/);
  });

  test('that is included without end is refused, though each has another name', async () => {
    const endless = loadScenario('f', () => JSON.stringify({ include: ['d/f'] }));
    await expect(endless).rejects.toThrow('included 33 deep, expected at most 32');
  });
});

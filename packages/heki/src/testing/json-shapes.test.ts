import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { JSON_SHAPES } from './json-shapes.ts';
import { fixturePath, projectFile, runCommand } from './run-command.ts';

describe.each(Object.entries(JSON_SHAPES))('heki %s --json', (name, shape) => {
  test('has the JSON Schema that is published', async () => {
    const schema = { ...z.toJSONSchema(shape), title: `heki ${name} --json` };
    await expect(`${JSON.stringify(schema, undefined, 2)}\n`).toMatchFileSnapshot(
      `../../schemas/${name}.schema.json`,
    );
  });
});

const BOOT = ['boot', '--memory', '64MiB'];
const REPLAY = ['replay', projectFile('vectors/counters/real-6.1-256m.json.gz')];

test.each<[command: 'protect' | 'boot' | 'replay', args: readonly string[]]>([
  ['protect', ['protect']],
  ['protect', ['protect', fixturePath('k61-256-tampered-text-alias'), '--profile', 'rfc-v2', '--strict']],
  ['protect', ['protect', fixturePath('k61-256-rodataoff'), '--no-mbec']],
  ['protect', ['protect', '--hypervisor', 'none']],
  ['protect', ['protect', '--hypervisor', 'xen']],
  ['boot', BOOT],
  ['boot', [...BOOT, '--cmdline', 'heki=0']],
  ['boot', [...BOOT, '--no-mbec', '--profile', 'rfc-v2']],
  ['boot', ['boot', '--scenario', projectFile('examples/boot-attacks/rfc-v2.json')]],
  ['boot', ['boot', '--scenario', projectFile('examples/boot-attacks/no-heki.json')]],
  ['replay', REPLAY],
  ['replay', [...REPLAY, '--profile', 'rfc-v2', '--strict']],
])('what %s prints for %j has the published shape, and its exit code', async (command, args) => {
  const { exitCode, stdout, stderr } = await runCommand([...args, '--json']);
  expect(stderr).toBe('');
  const { success, data, error } = JSON_SHAPES[command].safeParse(JSON.parse(stdout));
  expect({ success, error }).toEqual({ success: true, error: undefined });
  expect(data?.verdict.exitCode).toBe(exitCode);
});

test.each([
  ['backends', 'xen'],
  ['boot', '--workload', 'balloon', '--hypervisor', 'none', '--memory', '64MiB'],
])('%s %s has warnings in each of its elements', async (...args) => {
  const { stdout } = await runCommand([...args, '--json']);
  const elements: { readonly warnings: unknown }[] = JSON.parse(stdout);
  expect(elements.length).toBeGreaterThan(0);
  for (const { warnings } of elements) expect(warnings).toBeInstanceOf(Array);
});

test('JSON says that nobody has judged the model of a hypervisor', async () => {
  const unjudged = { id: 'unjudged', message: 'no outside implementation has judged the model of xen' };
  for (const args of [['protect'], BOOT, ['backends', 'xen']]) {
    const hypervisor = args[0] === 'backends' ? [] : ['--hypervisor', 'xen'];
    const parsed = JSON.parse((await runCommand([...args, ...hypervisor, '--json'])).stdout);
    const { warnings } = Array.isArray(parsed) ? parsed[0] : parsed;
    expect(warnings[0]).toEqual(unjudged);
  }
});

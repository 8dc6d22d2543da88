import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { afterAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import type { SchemaName } from '../report/report-header.ts';
import { JSON_SHAPES } from './json-shapes.ts';
import { fixturePath, projectFile, ranOnce, runCommand } from './run-command.ts';

const scratch = mkdtempSync(join(tmpdir(), 'heki-shapes-'));
afterAll(() => rmSync(scratch, { recursive: true }));

const schemaFile = (name: string): string => `../../schemas/${name}.schema.json`;

describe.each(Object.entries(JSON_SHAPES))('the shape %s', (name, shape) => {
  test('has the JSON Schema that is published', async () => {
    const schema = { ...z.toJSONSchema(shape), title: `heki ${name}` };
    await expect(`${JSON.stringify(schema, undefined, 2)}\n`).toMatchFileSnapshot(schemaFile(name));
  });
});

const ajv = new Ajv2020({ strict: true, allowUnionTypes: true });

/** What keeps `value` from having the published shape `name`. */
function faults(name: SchemaName, value: unknown): unknown {
  const validate = ajv.compile(JSON.parse(readFileSync(new URL(schemaFile(name), import.meta.url), 'utf8')));
  return validate(value) ? [] : validate.errors;
}

const BOOT = ['boot', '--memory', '64MiB'];
const REPLAY = ['replay', projectFile('vectors/counters/real-6.1-256m.json.gz')];
const kernel = fixturePath('k61-256-nokaslr');
const withSymbols = projectFile('fixtures/symbols/k61-symbols.elf.gz');

test.each<[command: SchemaName, args: readonly string[]]>([
  ['protect', ['protect']],
  ['protect', ['protect', fixturePath('k61-256-tampered-text-alias'), '--profile', 'rfc-v2', '--strict']],
  ['protect', ['protect', fixturePath('k61-256-rodataoff'), '--no-mbec']],
  ['protect', ['protect', '--hypervisor', 'none']],
  ['protect', ['protect', '--hypervisor', 'xen']],
  ['boot', BOOT],
  ['boot', [...BOOT, '--cmdline', 'heki=0']],
  ['boot', [...BOOT, '--authenticate']],
  ['boot', [...BOOT, '--no-mbec', '--profile', 'rfc-v2']],
  ['boot', ['boot', '--scenario', projectFile('examples/boot-attacks/rfc-v2.json')]],
  ['boot', ['boot', '--scenario', projectFile('examples/boot-attacks/no-heki.json')]],
  ['replay', REPLAY],
  ['replay', [...REPLAY, '--profile', 'rfc-v2', '--strict']],
])('what %s prints for %j has the published shape, and its exit code', async (command, args) => {
  const { exitCode, stdout, stderr } = await ranOnce(...args, '--json');
  expect(stderr).toBe('');
  const value = JSON.parse(stdout);
  expect(faults(command, value)).toEqual([]);
  expect(value.verdict.exitCode).toBe(exitCode);
});

test.each<[command: SchemaName, args: readonly string[]]>([
  ['walk', ['walk', kernel, '--json']],
  ['walk', ['walk', kernel, '--user', '--cr3', '0x1000', '--format', 'json', '--range', '0-1000']],
  ['translate', ['translate', kernel, 'ffffffff81000000', '--json']],
  ['translate', ['translate', kernel, 'ffffffff81000000', '--access', 'write', '--json']],
  ['translate', ['translate', kernel, '0800000000000000', '--json']],
  ['symbols', ['symbols', withSymbols, '--modules', '--json']],
  ['symbols', ['symbols', withSymbols, 'libcrc32c_mod_fini+1', '--json']],
  ['symbols', ['symbols', withSymbols, 'vfs_*', '--json']],
  ['read', ['read', withSymbols, 'modules', '8192', '--json']],
  ['read', ['read', withSymbols, '_text', '--json']],
  ['find', ['find', kernel, '--permissions', 'r-x', '--json']],
  ['extract', ['extract', kernel, '-o', join(scratch, 'small.elf.gz'), '--json']],
  ['extract', ['extract', kernel, '-o', join(scratch, 'redacted.elf'), '--redact', '--json']],
  ['audit', ['audit', kernel, '--json']],
  ['audit', ['audit', kernel, '--redact', '--no-heki', '--json']],
  ['diff', ['diff', kernel, fixturePath('k61-256-tampered-text-alias'), '--json']],
  ['explain', ['explain', '--json']],
  ['explore', ['explore', '--machine', 'abstract-ask', '--property', 'P6', '--json']],
  ['explore', ['explore', '--depth', '1', '--json']],
  ['backends', ['backends', 'xen', '--json']],
  ['workloads', ['boot', '--workload', 'balloon', '--hypervisor', 'none', '--memory', '64MiB', '--json']],
  ['workloads', ['boot', '--workload', 'jit', '--profile', 'rfc-v2', '--memory', '64MiB', '--json']],
  ['kunit', ['kunit', '--memory', '64MiB', '--test', '4', '--json']],
  ['kunit', ['kunit', '--memory', '64MiB', '--profile', 'rfc-v2', '--suite', 'heki', 'heki_v3', '--json']],
  [
    'kunit',
    ['kunit', '--memory', '64MiB', '--hypervisor', 'none', '--suite', 'heki_model', '--test', '1', '--json'],
  ],
  ['kunit-tests', ['kunit', '--list', '--json']],
  ['attack', ['attack', 'race-poke-window', 'remap-text', '--machine', 'hardened', 'lvbs', '--json']],
  ['attack-list', ['attack', '--list', '--json']],
  ['version', ['--version', '--json']],
  ['version', ['--json', '-V']],
  ['error', ['kunit', '--test', '99', '--json']],
  ['error', ['walk', join(scratch, 'none'), '--format', 'json']],
  ['error', ['protect', scratch, '--json']],
  ['error', ['nonsense', '--json']],
  ['error', ['boot', '--vcpus', '0', '--json']],
  ['error', ['boot', '--scenario', projectFile('package.json'), '--json']],
])('what is printed as %s for %j has the published shape', async (name, args) => {
  const { stdout } = await ranOnce(...args);
  const value = JSON.parse(stdout);
  // A dump without the tables that were asked for is an error, in JSON as well.
  expect(faults(value.error === undefined ? name : 'error', value)).toEqual([]);
});

test('what inspect prints for a script has the published shape', async () => {
  for (const source of [[], [kernel]]) {
    const { exitCode, stdout } = await runCommand(['inspect', ...source, '--no-open', '--json'], {
      interrupt: AbortSignal.abort(),
    });
    expect(exitCode).toBe(0);
    expect(faults('inspect', JSON.parse(stdout))).toEqual([]);
  }
});

test('JSON says that the model of a hypervisor is unjudged', async () => {
  const unjudged = { id: 'unjudged', message: 'no outside implementation has judged the model of xen' };
  for (const args of [
    ['protect', '--hypervisor', 'xen'],
    [...BOOT, '--hypervisor', 'xen'],
    ['backends', 'xen'],
  ]) {
    const parsed = JSON.parse((await ranOnce(...args, '--json')).stdout);
    expect((parsed.backends?.[0] ?? parsed).warnings[0]).toEqual(unjudged);
  }
});

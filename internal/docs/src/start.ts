import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mappingTrace } from './mapping-way.ts';
import { markdownTable, type Page, textBlock } from './page.ts';
import { printedWithFindings } from './printed.ts';

/** What a command prints, whatever it finds. */
async function output(...args: string[]): Promise<string> {
  return textBlock((await printedWithFindings(args)).trimEnd().split('\n'));
}

/** Lines of a boot from the first step on. */
function fromSteps(text: string): string {
  const lines = text.trimEnd().split('\n');
  const first = lines.findIndex((line) => / {2}(?:load-module|boot) /.test(line));
  return textBlock(['…', ...lines.slice(first)]);
}

const STORE = 'store-text-after-pte-edit';
const ASK = 'ask-for-execution';

/** What Heki is, for somebody who has ten minutes. */
export const tenMinutesPage: Page = {
  file: 'docs/ten-minutes.md',
  parts: {
    translate: () => output('translate', '0xffffffff81000000', '--access', 'write'),
    trace: () => textBlock(mappingTrace('hardened').filter((line) => !/violation|mapped gfn/.test(line))),
    attack: () =>
      output(...['attack', STORE, ASK, '--machine', 'no-heki', '--machine', 'hardened', '--machine', 'lvbs']),
  },
};

const FIRST = {
  $schema: 'https://raw.githubusercontent.com/heki-project/heki/main/packages/scenario/scenario.schema.json',
  title: 'A driver comes',
  machine: { memory: '128MiB' },
  steps: [{ do: 'load-module', name: 'driver', text: 4 }],
};
const SECOND = {
  title: 'A driver comes, is traced and attacked',
  machine: { memory: '128MiB' },
  steps: [
    { do: 'load-module', name: 'driver', text: 4 },
    { do: 'trace', on: 'driver' },
    { do: 'attack', how: STORE, on: 'driver' },
  ],
  expectRights: [
    { of: 'module driver text', grants: 'r-x' },
    { of: 'every page', never: 'wx' },
  ],
};

/** A scenario as a person writes it: a line for each step. */
function written(scenario: Readonly<Record<string, unknown>>): string {
  const lines = Object.entries(scenario).map(([key, value]) => {
    if (!Array.isArray(value)) return `  "${key}": ${spaced(value)}`;
    return `  "${key}": [\n${value.map((one) => `    ${spaced(one)}`).join(',\n')}\n  ]`;
  });
  return `\`\`\`json\n{\n${lines.join(',\n')}\n}\n\`\`\``;
}

function spaced(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  return `{ ${Object.entries(value)
    .map(([key, one]) => `"${key}": ${JSON.stringify(one)}`)
    .join(', ')} }`;
}

/** What the boot of a scenario prints. */
async function booted(scenario: object, ...options: readonly string[]): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'heki-docs-'));
  try {
    const file = join(folder, 'scenario.json');
    writeFileSync(file, JSON.stringify(scenario));
    return await printedWithFindings(['boot', '--scenario', file, ...options]);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** How a scenario is written. */
export const writeAScenarioPage: Page = {
  file: 'docs/write-a-scenario.md',
  parts: {
    first: () => written(FIRST),
    'first-run': async () => textBlock((await booted(FIRST)).trimEnd().split('\n')),
    second: () => written(SECOND),
    'second-run': async () => fromSteps(await booted(SECOND)),
    'second-rfc-v2': async () => fromSteps(await booted(SECOND, '--profile', 'rfc-v2')),
    steps: () => markdownTable(['step', 'fields'], stepRows()),
  },
};

/** Every kind of step with its fields, out of the published schema. */
function stepRows(): string[][] {
  const schema: unknown = JSON.parse(readFileSync('packages/scenario/scenario.schema.json', 'utf8'));
  const rows = new Map<string, string>();
  collectSteps(schema, rows);
  return [...rows].sort().map(([kind, fields]) => [`\`${kind}\``, fields]);
}

function collectSteps(node: unknown, rows: Map<string, string>): void {
  if (typeof node !== 'object' || node === null) return;
  if ('properties' in node && typeof node.properties === 'object' && node.properties !== null) {
    const { do: kind, expect: _, ...fields } = node.properties as Record<string, unknown>;
    if (typeof kind === 'object' && kind !== null && 'const' in kind) {
      const required = 'required' in node && Array.isArray(node.required) ? node.required : [];
      const names = Object.keys(fields).map((name) => (required.includes(name) ? `**${name}**` : name));
      rows.set(String(kind.const), names.join(', '));
    }
  }
  for (const value of Object.values(node)) collectSteps(value, rows);
}

const SNAPSHOT = 'fixtures/k61-256-nokaslr.elf.gz';
const EXERCISES: Readonly<Record<string, readonly string[]>> = {
  direct: ['translate', '0xffff888001000000', '--access', 'write'],
  find: ['find', SNAPSHOT, '--physical', '0x1000000'],
  edit: ['attack', STORE, '--machine', 'no-heki', '--machine', 'hardened'],
  defect: ['boot', '--workload', 'ftrace-module', '--defect', 'B-G4'],
  ask: ['attack', ASK, '--machine', 'hardened', '--machine', 'lvbs'],
  explore: ['explore', '--machine', 'abstract-ask'],
};

/** Exercises for a class. */
export const teachPage: Page = {
  file: 'docs/teach.md',
  parts: Object.fromEntries(Object.entries(EXERCISES).map(([name, args]) => [name, () => output(...args)])),
};

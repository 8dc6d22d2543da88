import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { hekiProcess } from './heki-process.ts';
import type { Page } from './page.ts';

/** A sound kernel, one that an attacker had, and a file that is damaged. */
const DUMPS = [
  'fixtures/k61-256-nokaslr.elf.gz',
  'fixtures/k61-256-tampered-text-alias.elf.gz',
  'fixtures/hostile/damaged.elf.gz',
];

/** Audits of many guests. */
export const fleetPage: Page = { file: 'docs/fleet.md', parts: { run: ran } };

/** A fleet of these dumps, in a folder that is shown as `/srv`. */
function ran(): string {
  const folder = mkdtempSync(join(tmpdir(), 'heki-docs-fleet-'));
  try {
    mkdirSync(join(folder, 'dumps'));
    for (const dump of DUMPS) copyFileSync(dump, join(folder, 'dumps', basename(dump)));
    const args = ['fleet', 'run', 'dumps/*.elf.gz'];
    const text = hekiProcess(args, folder).replaceAll(folder, '/srv').trimEnd();
    return `\`\`\`console\n$ heki fleet run 'dumps/*.elf.gz'\n${text}\n\`\`\``;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

// Writes a row of internal/docs/text-bytes.json, from which docs/authenticated-code.md has its table: `pnpm text-bytes "NAME" DUMP PACKAGE.deb`.
// Full dumps of Debian guests are made by `pnpm guests dump`; they are too large to be kept here.

import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../internal/launcher/src/root.mjs';

const [dump, file, vmlinux] = process.argv.slice(2);
if (vmlinux === undefined) {
  console.error('usage: pnpm text-bytes "NAME" DUMP PACKAGE.deb');
  process.exit(2);
}
const heki = join(root, 'packages/heki/dist/main.js');
const audit = spawnSync('node', [heki, 'audit', file, '--vmlinux', vmlinux, '--json'], {
  maxBuffer: 2 ** 28,
  stdio: ['ignore', 'pipe', 'inherit'],
});
// 1: it has findings, which say nothing of the code.
if (audit.status !== 0 && audit.status !== 1) process.exit(audit.status ?? 3);
const { text } = JSON.parse(audit.stdout.toString()).contents;
const { bytes, compared, differing, explained, unexplained } = text;
const rowsFile = join(root, 'internal/docs/text-bytes.json');
const rows = JSON.parse(readFileSync(rowsFile, 'utf8')).filter((row) => row.dump !== dump);
rows.push({ dump, bytes, compared, differing, explained, unexplained });
rows.sort((a, b) => a.dump.localeCompare(b.dump, 'en', { numeric: true }));
writeFileSync(rowsFile, `${JSON.stringify(rows, undefined, 2)}\n`);

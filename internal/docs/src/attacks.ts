import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ATTACK_MACHINES } from '@heki/attacks';
import { markdownTable, type Page } from './page.ts';
import { printed } from './printed.ts';

/** What the command writes as Markdown: a line with counts, the matrix, and a section for each attack. */
async function written(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'heki-attacks-'));
  const file = join(folder, 'attacks.md');
  try {
    await printed(['attack', '--prove', '--markdown', file]);
    return readFileSync(file, 'utf8');
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const text = await written();
const table = text.indexOf('| attack |');
const sections = text.indexOf('\n### ');

/** Every attack on every machine. It takes minutes: only with `--long`. */
export const attacksPage: Page = {
  file: 'docs/attacks.md',
  parts: {
    count: () => text.slice(0, table),
    machines: () =>
      markdownTable(
        ['machine', 'is'],
        ATTACK_MACHINES.map(({ name, title }) => [`\`${name}\``, title]),
      ),
    matrix: () => text.slice(table, sections),
    attacks: () => text.slice(sections),
  },
};

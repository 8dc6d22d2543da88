import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ATTACK_MACHINES } from '@heki/attacks';
import { hekiProcess } from './heki-process.ts';
import { once } from './once.ts';
import { markdownTable, type Page } from './page.ts';

/** What the command writes as Markdown: a line with counts, scores, the matrix, and a section for each attack. */
function written(): string {
  const folder = mkdtempSync(join(tmpdir(), 'heki-attacks-'));
  const file = join(folder, 'attacks.md');
  try {
    hekiProcess(['attack', '--prove', '--markdown', file]);
    return readFileSync(file, 'utf8');
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const text = once(written);
const scores = (): number => text().indexOf('| machine |');
const table = (): number => text().indexOf('| attack |');
const sections = (): number => text().indexOf('\n### ');

/** Where an attack is watched: the site has the inspector itself there, the repository the page about it. */
const IN_INSPECTOR = /`heki inspect`, at `(#attacks\?[^`]+)`/g;

/** Every attack on every machine. It takes minutes: only with `--long`. */
export const attacksPage: Page = {
  file: 'docs/attacks.md',
  parts: {
    count: () => text().slice(0, scores()),
    machines: () =>
      markdownTable(
        ['machine', 'is'],
        ATTACK_MACHINES.map(({ name, title }) => [`\`${name}\``, title]),
      ),
    scores: () => text().slice(scores(), table()),
    matrix: () => text().slice(table(), sections()),
    attacks: () => text().slice(sections()).replace(IN_INSPECTOR, '[in the inspector](inspector.md$1)'),
  },
};

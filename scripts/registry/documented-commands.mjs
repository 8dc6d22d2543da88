// The commands that pages of docs/ show to who has the packages installed.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../../internal/launcher/src/root.mjs';

const PAGES = ['paths', 'write-a-backend', 'write-an-attack'];

/**
 * The command lines that begin with `npx heki` in blocks of shell.
 *
 * @returns {string[][]} each as its words
 */
export function documentedCommands() {
  return PAGES.flatMap((page) => {
    const text = readFileSync(join(root, 'docs', `${page}.md`), 'utf8');
    const blocks = [...text.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, block]) => block);
    const lines = blocks.join('').match(/^npx heki .*$/gm) ?? [];
    return lines.map((line) => line.replace(/\s+#.*/, '').split(/\s+/));
  });
}

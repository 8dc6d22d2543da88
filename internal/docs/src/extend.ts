import { readFileSync } from 'node:fs';
import { type Page, textBlock } from './page.ts';
import { printed } from './printed.ts';

const BACKEND = 'examples/write-a-backend/src/mine.mjs';
const ATTACK = 'examples/write-an-attack/src/remap-data.mjs';

/** A source file in the parts that its numbered comments make, by their numbers; 0 is what comes before. */
function partsOf(file: string): Record<string, () => string> {
  const parts = readFileSync(file, 'utf8').split(/^(?= *\/\/ \d\. )/m);
  return Object.fromEntries(
    parts.map((text, index) => [`part ${index}`, () => codeBlock(text.trim(), text)]),
  );
}

/** @param text as it stands in the file, whose first line says how far it is indented */
function codeBlock(trimmed: string, text: string): string {
  const indented = /^\n*( *)/.exec(text)?.[1] ?? '';
  return `\`\`\`js\n${indented}${trimmed}\n\`\`\``;
}

const wholeFile = (file: string) => (): string => `\`\`\`js\n${readFileSync(file, 'utf8').trim()}\n\`\`\``;

/** What the command prints about attacks. */
function attacks(text: string): string {
  const lines = text.split('\n');
  const first = lines.findIndex((line) => line.startsWith('4 '));
  return textBlock(lines.slice(first).join('\n').trimEnd().split('\n'));
}

/** How a hypervisor of one's own comes under the guests of this project. */
export const writeABackendPage: Page = {
  file: 'docs/write-a-backend.md',
  parts: {
    ...partsOf(BACKEND),
    'set-up': wholeFile('examples/write-a-backend/src/conformance-setup.mjs'),
    test: wholeFile('examples/write-a-backend/src/mine.test.mjs'),
    protect: async () => attacks(await printed(['protect', '--hypervisor', BACKEND, '--cpu', 'amd-zen4'])),
  },
};

/** How an attack of one's own is tried. */
export const writeAnAttackPage: Page = {
  file: 'docs/write-an-attack.md',
  parts: {
    file: wholeFile(ATTACK),
    scenario: () =>
      `\`\`\`json\n${readFileSync('examples/write-an-attack/src/scenario.json', 'utf8').trim()}\n\`\`\``,
    protect: async () => attacks(await printed(['protect', '--attack', ATTACK])),
  },
};

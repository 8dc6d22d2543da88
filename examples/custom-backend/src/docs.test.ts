import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

const read = (path: string): string => readFileSync(new URL(path, import.meta.url), 'utf8');
const page = read('../../../docs/write-a-backend.md');

test.each(['capabilities', 'memory', 'exits'])('docs/write-a-backend.md quotes the part %s', (name) => {
  const part = read('./my-hypervisor.ts').split(`// [${name}]\n`)[1]?.split(`// [/${name}]`)[0] ?? '';
  // The page has it without the indentation that it has in the function.
  const depth = /^ */.exec(part)?.[0] ?? '';
  const text = part.trimEnd().replaceAll(new RegExp(`^${depth}`, 'gm'), '');
  expect(text).not.toBe('');
  expect(page).toContain(`\`\`\`ts\n${text}\n\`\`\``);
});

test('docs/write-a-backend.md quotes the test', () => {
  expect(page).toContain(`\`\`\`ts\n${read('./my-hypervisor.test.ts')}\`\`\``);
});

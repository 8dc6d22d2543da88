import { readFileSync } from 'node:fs';
import { outputOf, readmeOutput } from '@heki-internal/vitest/readme';
import { expect, test } from 'vitest';

const read = (path: string) => readFileSync(new URL(path, import.meta.url), 'utf8');

test('prints what its README shows', async () => {
  expect(await outputOf(() => import('./index.ts'))).toBe(readmeOutput(import.meta.url));
});

test("is the project's front page's program, with its output", () => {
  const front = read('../../../README.md');
  expect(front).toContain(`\`\`\`ts\n${read('index.ts')}\`\`\``);
  expect(front).toContain(`\`\`\`text\n${readmeOutput(import.meta.url)}\`\`\``);
});

test('the front page has fewer than 900 words', () => {
  expect(read('../../../README.md').split(/\s+/).length).toBeLessThan(900);
});

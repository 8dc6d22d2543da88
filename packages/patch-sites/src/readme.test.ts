import { readFileSync } from 'node:fs';
import { outputOf, readmeOutput } from '@heki-internal/vitest/readme';
import { expect, test } from 'vitest';

test("the README's example is the one that runs, and prints what the README shows", async () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
  const example = readFileSync(new URL('testing/readme-example.ts', import.meta.url), 'utf8');
  expect(readme).toContain(`\`\`\`ts\n${example}\`\`\``);
  expect(await outputOf(() => import('./testing/readme-example.ts'))).toBe(readmeOutput(import.meta.url));
});

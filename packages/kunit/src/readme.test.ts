import { readFileSync } from 'node:fs';
import { outputOf, readmeOutput } from '@heki-internal/vitest/readme';
import { expect, test } from 'vitest';
import { CHANGED_EXPECTATIONS } from './index.ts';

const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');

test("the README's example is the one that runs, and prints what the README shows", async () => {
  const example = readFileSync(new URL('testing/readme-example.ts', import.meta.url), 'utf8');
  expect(readme).toContain(`\`\`\`ts\n${example}\`\`\``);
  expect(await outputOf(() => import('./testing/readme-example.ts'))).toBe(readmeOutput(import.meta.url));
});

test('the README lists every expectation that the ports have changed', () => {
  const rows = CHANGED_EXPECTATIONS.map(
    ({ test: name, published, port, why }) => `| \`${name}\` | ${published} | ${port} | ${why} |\n`,
  );
  expect(readme).toContain(rows.join(''));
});

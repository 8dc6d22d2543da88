import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';

/** What the modules that `file` leads to import, by file. */
function importsFrom(file: string, seen = new Map<string, string[]>()): Map<string, string[]> {
  if (seen.has(file)) return seen;
  const text = readFileSync(file, 'utf8');
  const imports = Array.from(
    text.matchAll(/^(?:import|export) .*?from '([^']+)';$/gms),
    ([, from = '']) => from,
  );
  seen.set(file, imports);
  for (const from of imports) if (from.startsWith('.')) importsFrom(join(dirname(file), from), seen);
  return seen;
}

test('findings need page tables and nothing else: the main entry imports no machine', () => {
  const imports = importsFrom(join(import.meta.dirname, 'index.ts'));
  expect(imports.size).toBeGreaterThan(20);
  const packages = new Set([...imports.values()].flat().filter((from) => !from.startsWith('.')));
  expect([...packages].sort()).toEqual([
    '@heki/patch-sites',
    '@heki/physical-memory',
    '@heki/vmcore',
    '@heki/vmcore/limits',
    '@heki/x86',
  ]);
});

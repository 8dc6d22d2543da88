import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, it } from 'vitest';

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

it('what is not under @heki/vmcore/node runs in a browser: nothing of Node is imported', () => {
  const imports = importsFrom(join(import.meta.dirname, 'index.ts'));
  expect(imports.size).toBeGreaterThan(20);
  for (const [file, from] of imports) {
    expect(file).not.toContain('/node/');
    expect(from.filter((name) => name.startsWith('node:'))).toEqual([]);
  }
});

import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

/** What a file of this package loads when it runs, directly and through others: types are not loaded. */
function loadedBy(file: URL, seen = new Set<string>()): ReadonlySet<string> {
  if (seen.has(file.href)) return seen;
  seen.add(file.href);
  const text = readFileSync(file, 'utf8');
  for (const [, kind = '', name = ''] of text.matchAll(
    /^(import|export)(?! type)[^;]*? from '([^']+)';/gms,
  )) {
    if (!name.startsWith('.')) seen.add(name);
    else if (kind !== '') loadedBy(new URL(name, file), seen);
  }
  return seen;
}

test('who only runs machines does not load the validator', () => {
  expect(loadedBy(new URL('../index.ts', import.meta.url))).not.toContain('zod');
  expect(loadedBy(new URL('index.ts', import.meta.url))).toContain('zod');
});

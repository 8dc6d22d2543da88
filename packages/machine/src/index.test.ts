import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

/** Packages whose code is loaded with a file of this package; types are not. */
function loadedWith(file: URL, seen = new Set<string>()): string[] {
  if (seen.has(file.href)) return [];
  seen.add(file.href);
  const froms = readFileSync(file, 'utf8').matchAll(/^(?:import|export) (?!type\b)[^;]*? from '([^']+)';/gm);
  return [...froms].flatMap(([, from = '']) =>
    from.startsWith('.') ? loadedWith(new URL(from, file), seen) : [from],
  );
}

test('whoever makes machines loads no arithmetic of signatures: who signs comes by an entry of its own', () => {
  const entry = (path: string): string[] => loadedWith(new URL(path, import.meta.url));
  expect(entry('index.ts')).toContain('@heki/linux');
  expect(entry('index.ts')).not.toContain('@heki/module-signature');
  expect(entry('linux/code-signer.ts')).toContain('@heki/module-signature');
});

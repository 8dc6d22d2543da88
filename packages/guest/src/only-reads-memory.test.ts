import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

test('the core never writes memory by itself: its stores go through the kernel, and so through a processor', () => {
  const folder = new URL('./', import.meta.url);
  const writes = /\bwrite(?:Bytes|U32|U64)\(|\.writablePage\(/;
  const sources = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(
    (file) => /\.ts$/.test(file) && !/\.(test|bench)\.ts$/.test(file) && !file.startsWith('testing'),
  );
  expect(sources).toContain('page-lists/page-list-builder.ts');
  expect(sources.filter((file) => writes.test(readFileSync(new URL(file, folder), 'utf8')))).toEqual([]);
});

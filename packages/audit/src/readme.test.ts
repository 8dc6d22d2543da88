import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { FINDING_KINDS } from './index.ts';

test('the page of findings has a section for each kind', () => {
  const page = readFileSync(join(import.meta.dirname, '../../../docs/findings.md'), 'utf8');
  for (const { id, title, advice } of FINDING_KINDS) {
    expect(page).toContain(`## ${title}`);
    expect(page).toContain(id);
    expect(page).toContain(advice);
  }
});

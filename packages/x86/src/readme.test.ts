import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { bitTableMarkdown } from './bit-table.ts';
import { ENTRY_BITS } from './entries/entry.ts';

describe('the README', () => {
  it('shows the bits of an entry as the code has them', () => {
    const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
    expect(readme).toContain(bitTableMarkdown(ENTRY_BITS));
  });
});

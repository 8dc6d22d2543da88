import { ATTACK_MACHINES, CATALOGUE, runMatrix } from '@heki/attacks';
import { expect, test } from 'vitest';
import { HYPERVISORS } from '../hypervisors.ts';
import { attackHtml } from './attack-html.ts';

const HOSTILE = '</script><img src=x onerror=alert(1)> "quoted" \u202e\u0007';
const matrix = runMatrix({
  attacks: CATALOGUE.filter(({ name }) => ['store-text', 'ask-for-execution'].includes(name)).map(
    (attack) => ({
      ...attack,
      title: HOSTILE,
    }),
  ),
  machines: ATTACK_MACHINES.filter(({ name }) => name === 'hardened'),
  findBackend: () => HYPERVISORS.kvm,
});
const page = [...attackHtml(matrix)].join('\n');

test('the page tells the counts first, a cell for each attempt, and what was seen', () => {
  expect(page).toContain('2 attempts: of 1 that a machine claims to stop 1 are stopped');
  expect(page).toContain('<td class="stopped">blocked</td>');
  expect(page).toContain('<td class="red">succeeds</td>');
  expect(page).toContain('RAX is 0x600dc0de');
});

test('the page has no script, asks for nothing, and shows hostile text as text', () => {
  expect(page).not.toMatch(/<script|<img|src=(?!x)|https?:|url\(/);
  expect(page).toContain(
    '&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt; &quot;quoted&quot; \\u{202e}\\x07',
  );
  expect(page).toMatch(/default-src 'none'; style-src 'sha256-[A-Za-z0-9+/]{43}='/);
});

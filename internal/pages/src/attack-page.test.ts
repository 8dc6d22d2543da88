import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { openBrowser, openPage, violations } from './browser.ts';

const HEKI = fileURLToPath(new URL('../../../packages/heki/dist/main.js', import.meta.url));

test('the page of heki attack has no violation that axe-core knows, with everything opened, and its colours none in the dark', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'heki-pages-'));
  const file = join(folder, 'attacks.html');
  const attacks = ['store-text', 'remap-text', 'store-data', 'forge-patch-table'];
  const { status, stderr } = spawnSync(process.execPath, [
    ...[HEKI, 'attack', ...attacks, '--machine', 'no-heki', 'rfc-v2', 'hardened', '--html', file],
  ]);
  expect([status, String(stderr)]).toEqual([0, '']);
  const browser = await openBrowser();
  try {
    const { page, said, requests } = await openPage(browser, file);
    await page.evaluate(`for (const details of document.querySelectorAll('details')) details.open = true`);
    expect(await violations(page)).toEqual([]);
    await page.emulateMedia({ colorScheme: 'dark' });
    expect(await violations(page, ['color-contrast'])).toEqual([]);
    expect([said, requests]).toEqual([[], []]);
  } finally {
    await browser.close();
    rmSync(folder, { recursive: true });
  }
});

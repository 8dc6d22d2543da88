import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { openBrowser, openUrl } from './browser.ts';
import { heki } from './inspector.ts';
import { serveFolder } from './serve-folder.ts';

const DUMP = fileURLToPath(new URL('../../../fixtures/k61-256-nokaslr-pti.elf.gz', import.meta.url));

test('what heki inspect --static writes opens its own kernel and dropped dumps, from any server, and sends nothing', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'heki-static-'));
  heki('inspect', '--static', join(folder, 'site'));
  const { server, home } = await serveFolder(folder, 'site');
  const browser = await openBrowser();
  try {
    const { page, said, requests } = await openUrl(browser, home);
    await page.locator('canvas.map').waitFor();
    const before = requests.length;
    await page.locator('input[type=file]').setInputFiles(DUMP);
    await page.locator('.opener >> text=k61-256-nokaslr-pti').waitFor();
    await page.locator('canvas.map').waitFor();
    expect(requests.slice(before)).toEqual([]);
    expect(said).toEqual([]);
    await page.close();
  } finally {
    await browser.close();
    await server.close();
    rmSync(folder, { recursive: true });
  }
});

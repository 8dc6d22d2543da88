// Takes the picture of docs/audit-page.md: `node internal/pages/screenshot.mjs`, where heki is built and Debian's chromium installed.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { chromium } from 'playwright-core';

const root = fileURLToPath(new URL('../..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'heki-screenshot-'));
const file = join(folder, 'audit.html');
const dump = join(root, 'fixtures', 'k61-256-tampered-text-alias.elf.gz');
spawnSync(process.execPath, [join(root, 'packages/heki/dist/main.js'), 'audit', dump, '--html', file]);

const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] });
const page = await browser.newPage({ viewport: { width: 1200, height: 1600 } });
await page.goto(pathToFileURL(file).href);
await page.locator('#finding-0').click();
await page.evaluate('scrollTo(0, 0)');
const { x, y, width } = await page.locator('.beside').boundingBox();
await page.screenshot({
  path: join(root, 'docs', 'audit-page.png'),
  clip: { x, y, width, height: 620 },
});
await browser.close();
rmSync(folder, { recursive: true });

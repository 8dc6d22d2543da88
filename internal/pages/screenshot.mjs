// Takes the pictures of docs/audit-page.md and docs/inspector.md: `node internal/pages/screenshot.mjs`, where heki is built and Debian's chromium installed.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
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
await page.close();

const inspector = spawn(process.execPath, [join(root, 'packages/heki/dist/main.js'), 'inspect', '--no-open']);
const [printed] = await once(inspector.stdout, 'data');
const [address] = /http:\S+/.exec(String(printed)) ?? [];
const shot = await browser.newPage({ viewport: { width: 1200, height: 900 } });
for (const [name, place, height, ready] of [
  ['inspector-walk', '#walk?va=0xffffffff81000000&access=write', 740, '.step'],
  ['inspector-time', '#time?machine=hardened&at=209', 900, '#changed'],
]) {
  await shot.goto(address + place);
  await shot.locator(ready).last().waitFor();
  await shot.screenshot({
    path: join(root, 'docs', `${name}.png`),
    clip: { x: 0, y: 0, width: 1200, height },
  });
}
await browser.close();
inspector.kill('SIGINT');
rmSync(folder, { recursive: true });

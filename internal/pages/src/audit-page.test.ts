import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openBrowser, openPage, violations } from './browser.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const HEKI = join(ROOT, 'packages', 'heki', 'dist', 'main.js');
/** The page without data must be smaller. */
const MOST_BYTES = 400_000;

let folder: string;
let browser: Browser;
let tampered: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'heki-pages-'));
  tampered = audit(join(ROOT, 'fixtures/k61-256-tampered-text-alias.elf.gz'), 'tampered.html');
  browser = await openBrowser();
});
afterAll(async () => {
  await browser?.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Has heki audit write a page. */
function audit(dump: string, name: string, ...options: string[]): string {
  const file = join(folder, name);
  const { status, stderr } = spawnSync(process.execPath, [HEKI, 'audit', dump, '--html', file, ...options], {
    encoding: 'utf8',
  });
  if (status !== 0 && status !== 1) throw new Error(stderr);
  return file;
}

/** Where on the map a frame of a guest of 256 MiB is: the curve begins at the upper left, each cell is one frame. */
async function over(page: Page, x: number, y: number): Promise<void> {
  const box = await page.locator('canvas').boundingBox();
  if (box === null) throw new Error('the map is not shown');
  await page.mouse.move(box.x + ((x + 0.5) / 256) * box.width, box.y + ((y + 0.5) / 256) * box.height);
}

/** The colour of a cell as it is drawn. */
function colourAt(page: Page, x: number, y: number): Promise<string> {
  return page.evaluate(
    `(() => {
      const canvas = document.querySelector('canvas');
      const size = canvas.width / 256;
      return canvas.getContext('2d').getImageData((${x} + 0.5) * size, (${y} + 0.5) * size, 1, 1).data.join();
    })()`,
  );
}

const place = (page: Page) => page.locator('.place').textContent();

describe('the page of an audit, opened from disk', () => {
  test('says the verdict first, asks for nothing and says nothing to the console', async () => {
    const { page, said, requests } = await openPage(browser, tampered);
    expect(await page.locator('h1').textContent()).toBe(
      'Fails: 1 finding at high or above, the worst critical',
    );
    expect(await page.locator('h1').count()).toBe(1);
    expect(said).toEqual([]);
    expect(requests).toEqual([]);
    await page.close();
  });

  test('is smaller than 400 kB without its data', () => {
    const text = readFileSync(tampered, 'utf8');
    const data = /<script type="application\/json"[^>]*>(.*?)<\/script>/s.exec(text)?.[1] ?? '';
    expect(JSON.parse(data).findings.length).toBeGreaterThan(0);
    expect(statSync(tampered).size - data.length).toBeLessThan(MOST_BYTES);
  });

  test('lets one script run, and no other', async () => {
    const { page, said } = await openPage(browser, tampered);
    await page.evaluate(`(() => {
      const script = document.createElement('script');
      script.textContent = 'document.title = "taken over"';
      document.body.append(script);
    })()`);
    expect(await page.title()).not.toBe('taken over');
    expect(said.join()).toContain('Content Security Policy');
    await page.close();
  });

  test('tells of what is under the pointer its range, aliases, region and what hypervisors would grant', async () => {
    const { page } = await openPage(browser, tampered);
    // 0x1000000, the first frame of the text.
    await over(page, 0, 64);
    const text = await place(page);
    expect(text).toContain('0x1000000-0x1000fff, 4 KiB: written and executed');
    expect(text).toContain('0x1000000-0x11fffff, 2 MiB, rwx by all mappings together');
    expect(text).toContain('r-x 0xffffffff81000000-0xffffffff811fffff kernel text');
    expect(text).toContain('rw- 0xffff888001000000-0xffff8880011fffff direct map');
    expect(text).toContain('kvmrwx');
    expect(text).toContain('hypervr');
    expect(text).toContain('Writable at one address, executable at another');
    await page.close();
  });

  test('shows a finding that is selected on the map, and selects the finding that is chosen there', async () => {
    const { page } = await openPage(browser, tampered);
    const [text, elsewhere] = [await colourAt(page, 16, 72), await colourAt(page, 200, 200)];
    const button = page.locator('#finding-0');
    await button.click();
    expect(await button.getAttribute('aria-expanded')).toBe('true');
    // All else fades.
    expect(await colourAt(page, 16, 72)).toBe(text);
    await expect.poll(() => colourAt(page, 200, 200)).not.toBe(elsewhere);
    expect(await page.locator('#map-live').textContent()).toContain('0x1000000');
    await button.click();
    await expect.poll(() => colourAt(page, 200, 200)).toBe(elsewhere);

    await over(page, 16, 72);
    await page.mouse.down();
    await page.mouse.up();
    expect(await button.getAttribute('aria-expanded')).toBe('true');
    await page.close();
  });

  test('is reached by keyboard alone: cursor, zoom, selection, and every control', async () => {
    const { page } = await openPage(browser, tampered);
    const live = page.locator('#map-live');
    await page.locator('canvas').focus();
    expect(await live.textContent()).toContain('0x0-0xfff, 4 KiB');
    await page.keyboard.press('ArrowRight');
    expect(await live.textContent()).toContain('0x3000-0x3fff');
    for (let step = 0; step < 8; step++) await page.keyboard.press('Shift+ArrowDown');
    await page.keyboard.press('ArrowLeft');
    expect(await live.textContent()).toContain('0x1000000-0x1000fff');
    await page.keyboard.press('Enter');
    expect(await page.locator('#finding-0').getAttribute('aria-expanded')).toBe('true');
    await page.keyboard.press('+');
    expect(await page.locator('.shown').textContent()).toBe('0x0-0x3ffffff');
    await page.keyboard.press('-');
    await page.keyboard.press('Escape');
    expect(await page.locator('#finding-0').getAttribute('aria-expanded')).toBe('false');

    const reached = new Set<string>();
    for (let step = 0; step < 40; step++) {
      await page.keyboard.press('Tab');
      const name = await page.evaluate<string>(
        `(() => { const { tagName, textContent } = document.activeElement; return tagName + ' ' + textContent; })()`,
      );
      reached.add(name);
    }
    const controls = await page.evaluate<string[]>(
      `[...document.querySelectorAll('button:enabled, summary, canvas')].map(({ tagName, textContent }) => tagName + ' ' + textContent)`,
    );
    expect(controls.length).toBeGreaterThan(6);
    expect(controls.filter((name) => !reached.has(name))).toEqual([]);
    await page.close();
  });

  test('has no violation that axe-core knows, with everything opened, and its colours none in the dark', async () => {
    const { page, said } = await openPage(browser, tampered);
    await page.locator('#finding-0').click();
    await page.evaluate(`for (const details of document.querySelectorAll('details')) details.open = true`);
    await page.locator('.memory-table tbody tr').first().waitFor();
    expect(await page.locator('.memory-table tbody tr').count()).toBe(50);
    expect(await violations(page)).toEqual([]);
    await page.emulateMedia({ colorScheme: 'dark' });
    expect(await violations(page, ['color-contrast'])).toEqual([]);
    expect(said).toEqual([]);
    await page.close();
  });

  test('fits a window of 320 pixels with everything opened, and what is wider scrolls by itself', async () => {
    const { page } = await openPage(browser, tampered);
    await page.setViewportSize({ width: 320, height: 700 });
    await page.locator('#finding-0').click();
    await page.evaluate(`for (const details of document.querySelectorAll('details')) details.open = true`);
    await page.locator('.memory-table tbody tr').first().waitFor();
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(320);
    expect(await violations(page)).toEqual([]);
    await page.close();
  });

  test('changes its colours with the scheme, the map too', async () => {
    const { page } = await openPage(browser, tampered);
    const light = await colourAt(page, 200, 200);
    await page.emulateMedia({ colorScheme: 'dark' });
    await expect.poll(() => colourAt(page, 200, 200)).not.toBe(light);
    await page.close();
  });

  test('shows hostile names as text, in the order of their letters', async () => {
    const hostile = `</script><img src=x onerror=alert(1)><!-- <script>alert(2)</script> $& \u202e\u0007`;
    const dump = join(folder, '<img src=x onerror=alert(3)>.elf.gz');
    const fixture = join(ROOT, 'fixtures/k61-256-rodataoff');
    copyFileSync(`${fixture}.elf.gz`, dump);
    const about = JSON.parse(readFileSync(`${fixture}.json`, 'utf8'));
    writeFileSync(
      dump.replace('.elf.gz', '.json'),
      JSON.stringify({ ...about, kernel: hostile, commandLine: hostile }),
    );
    const { page, said, requests } = await openPage(browser, audit(dump, 'hostile.html', '--no-heki'));
    expect(await page.locator('img').count()).toBe(0);
    expect(await page.locator('script').count()).toBe(2);
    const facts = await page.locator('header').textContent();
    expect(facts).toContain(
      '</script><img src=x onerror=alert(1)><!-- <script>alert(2)</script> $& \\u{202e}\\x07',
    );
    expect(facts).toContain('<img src=x onerror=alert(3)>.elf.gz');
    expect(said).toEqual([]);
    expect(requests).toEqual([]);
    await page.close();
  });

  test('has no addresses and no map where the report is redacted', async () => {
    const dump = join(ROOT, 'fixtures/k61-256-rodataoff.elf.gz');
    const file = audit(dump, 'redacted.html', '--no-heki', '--redact');
    expect(readFileSync(file, 'utf8')).not.toMatch(/0xffff|Debian|console=|rodataoff|virtualFrame":\d/);
    const { page, said } = await openPage(browser, file);
    expect(await page.locator('canvas').count()).toBe(0);
    expect(await page.locator('main').textContent()).toContain('Left out of this report');
    await page.locator('#finding-0').click();
    expect(await violations(page)).toEqual([]);
    expect(said).toEqual([]);
    await page.close();
  });
});

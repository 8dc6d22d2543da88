import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Browser } from 'playwright-core';
import type { PreviewServer } from 'vite';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openBrowser, openUrl, violations } from './browser.ts';
import { serveFolder } from './serve-folder.ts';

const SITE = fileURLToPath(new URL('../../site', import.meta.url));

const FINDINGS = fileURLToPath(new URL('../../../docs/findings', import.meta.url));
const FINDING_PAGES = readdirSync(FINDINGS);

let server: PreviewServer;
let browser: Browser;
let home: string;
beforeAll(async () => {
  if (!existsSync(join(SITE, 'dist-site/index.html')))
    throw new Error('there is no site: npm run docs:build makes it');
  ({ server, home } = await serveFolder(SITE, 'dist-site'));
  browser = await openBrowser();
});
afterAll(async () => {
  await browser?.close();
  await server?.close();
});

describe('the documentation site', () => {
  test('says on its first page what it is, and asks nobody else for anything', async () => {
    const { page, said, requests } = await openUrl(browser, home);
    expect(await page.locator('h1').first().textContent()).toContain('Hypervisor-Enforced Kernel Integrity');
    expect(said).toEqual([]);
    expect(requests.filter((url) => !url.startsWith(home))).toEqual([]);
    expect(await violations(page, ['wcag2a'])).toEqual([]);
    await page.close();
  });

  test('finds a defect by its id', async () => {
    const { page } = await openUrl(browser, `${home}docs/ten-minutes.html`);
    await page.keyboard.press('/');
    await page.locator('.VPLocalSearchBox input').fill('B-G22');
    await page.locator('.VPLocalSearchBox .result[href*="/docs/defects"]').first().click();
    await page.waitForURL(/docs\/defects\.html#.*b-g22/i);
    await page.close();
  });

  test('has a page for everything that a package exports', async () => {
    const { page } = await openUrl(browser, `${home}api/@heki/x86.html`);
    expect(await page.locator('h3#translate').first().textContent()).toContain('translate');
    await page.close();
  });

  test('finds a function by its name, and what is said of it', async () => {
    const { page } = await openUrl(browser, `${home}docs/paths.html`);
    await page.keyboard.press('/');
    await page.locator('.VPLocalSearchBox input').fill('describePageFaultCode');
    const result = page.locator('.VPLocalSearchBox .result[href*="/api/@heki/x86"]').first();
    await result.click();
    await page.waitForURL(/api\/@heki\/x86\.html#describepagefaultcode$/);
    await page.close();
  });

  test('leads from its navigation to the guides and the API', async () => {
    const { page } = await openUrl(browser, home);
    for (const [name, heading] of [
      ['Guides', 'heki'],
      ['API', 'API'],
    ] as const) {
      await page.locator('.VPNavBar').getByRole('link', { name, exact: true }).click();
      await page.locator('main h1', { hasText: new RegExp(`^${heading}`) }).waitFor();
    }
    await page.close();
  });

  test.each([320, 768, 1440])('has no page wider than a window of %i pixels', async (width) => {
    for (const path of [
      '',
      'docs/ten-minutes.html',
      'docs/packages.html',
      'docs/attack-matrix.html',
      'packages/kvm/',
      'api/@heki/x86.html',
    ]) {
      const { page } = await openUrl(browser, home + path, width);
      expect(await page.evaluate('document.documentElement.scrollWidth'), path).toBeLessThanOrEqual(width);
      await page.close();
    }
  });

  test('has the inspector, with the kernel that comes with heki', async () => {
    const { page, said, requests } = await openUrl(browser, `${home}inspector/index.html`);
    await page.locator('canvas.map').waitFor();
    expect(await page.locator('h1').first().textContent()).toBe('Passes: no finding at high or above');
    expect(said).toEqual([]);
    expect(requests.filter((url) => !url.startsWith(`${home}inspector/`))).toEqual([]);
    await page.close();
  });

  test('leads from the page of a kind of finding to a kernel that has it, in the inspector', async () => {
    const { page, said } = await openUrl(browser, `${home}docs/findings/wx-alias.html`);
    await page.locator('main a[href^="/inspector/"]').click();
    await page.locator('.findings li.selected h3', { hasText: 'Writable at one address' }).waitFor();
    // A walk from there meets the entry that was edited.
    await page.locator('.findings li.selected .addresses a, .findings li.selected td a').first().click();
    await page.locator('.step').last().waitFor();
    expect(await page.locator('h1').textContent()).toBe('The walk of an address');
    expect(new URL(page.url()).hash).toContain('edit=0x');
    expect(said).toEqual([]);
    await page.close();
  });

  test('has in the inspector each finding that page tables alone show', async () => {
    const { page } = await openUrl(browser, `${home}inspector/index.html`);
    const states = FINDING_PAGES.flatMap((file) =>
      [
        ...readFileSync(join(FINDINGS, file), 'utf8').matchAll(
          /inspector\.md(#memory\?finding=(\S+?)(?:&\S*)?)\)/g,
        ),
      ].map(([, hash = '', id = '']) => ({ hash, id })),
    );
    expect(states.length).toBeGreaterThan(20);
    for (const { hash, id } of states) {
      await page.evaluate(`location.hash = ${JSON.stringify(hash)}`);
      const selected = page.locator('.findings li.selected .details');
      await selected.locator('code', { hasText: `heki explain ${id}` }).waitFor();
    }
    await page.close();
  });

  test('leads from a row of the attack matrix to the life of that machine', async () => {
    const { page, said } = await openUrl(browser, `${home}docs/attack-matrix.html`);
    await page.locator('main a[href*="/inspector/"][href*="B-H1"]').click();
    await page.locator('text=14 of 14 steps were taken').waitFor();
    expect(said).toEqual([]);
    await page.close();
  });

  test('shows the page of an audit', async () => {
    const { page, said } = await openUrl(browser, `${home}audit.html`);
    expect(await page.locator('h1').first().textContent()).not.toBe('');
    expect(said).toEqual([]);
    await page.close();
  });
});

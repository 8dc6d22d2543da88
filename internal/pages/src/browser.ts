import { existsSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import axe from 'axe-core';
import { type Browser, chromium, type Page } from 'playwright-core';

/** Debian's. The one that has no window to draw in takes half the processor time for what these tests do. */
const WITHOUT_WINDOWS = '/usr/bin/chromium-headless-shell';
const CHROMIUM = existsSync(WITHOUT_WINDOWS) ? WITHOUT_WINDOWS : '/usr/bin/chromium';

/** How long a wait may take, in milliseconds: less than a test, so that what was waited for is told. */
const PATIENCE = 90_000;

/** A browser without a window. As root, which CI is, it has no sandbox of its own. */
export function openBrowser(): Promise<Browser> {
  return chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] });
}

/** A page from disk, with all that it said and asked for. */
export interface OpenPage {
  readonly page: Page;
  /** Errors, and what it wrote to the console. */
  readonly said: readonly string[];
  /** What it asked for beside the file itself. */
  readonly requests: readonly string[];
}

/** Opens a file. */
export function openPage(browser: Browser, file: string): Promise<OpenPage> {
  return openUrl(browser, pathToFileURL(file).href);
}

/** Opens an address. @param width of the window, in pixels */
export async function openUrl(browser: Browser, url: string, width = 1280): Promise<OpenPage> {
  const page = await browser.newPage({ colorScheme: 'light', viewport: { width, height: 900 } });
  page.setDefaultTimeout(PATIENCE);
  const said: string[] = [];
  const requests: string[] = [];
  page.on('console', (message) => said.push(message.text()));
  page.on('pageerror', (error) => said.push(error.message));
  page.on('dialog', (dialog) => {
    said.push(dialog.message());
    return dialog.dismiss();
  });
  page.on('request', (request) => {
    if (request.url() !== url) requests.push(request.url());
  });
  await page.goto(url);
  await page.waitForSelector('h1');
  return { page, said, requests };
}

/** What axe-core finds wrong with a page, a line for each of its rules. @param rules those to look at; all when none is named */
export async function violations(page: Page, rules: readonly string[] = []): Promise<string[]> {
  // What is pale because it is about to change is not looked at.
  await page.locator('[aria-busy=true]:not(main)').first().waitFor({ state: 'detached' });
  // Evaluated by the debugger, which the page's Content-Security-Policy does not concern.
  const found: { readonly id: string; readonly nodes: readonly { readonly html: string }[] }[] =
    await page.evaluate(
      `${axe.source}; axe.run(document, ${JSON.stringify(rules.length === 0 ? {} : { runOnly: rules })}).then(({ violations }) => violations)`,
    );
  return found.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`);
}

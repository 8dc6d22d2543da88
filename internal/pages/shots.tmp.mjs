import { chromium } from 'playwright-core';
import { preview } from 'vite';
const server = await preview({ root: '/work/wt/docs21/internal/site', configFile: false, logLevel: 'silent', appType: 'mpa', build: { outDir: process.argv[2] ?? 'dist-site' }, preview: { port: 0, host: '127.0.0.1' } });
const home = server.resolvedUrls.local[0];
const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] });
for (const [name, path] of [['front',''],['ten','docs/ten-minutes.html'],['matrix','docs/attack-matrix.html'],['package','packages/second-level/'],['api','api/@heki/x86.html'],['finding','docs/findings/wx-alias.html']]) {
  for (const width of [320, 768, 1440]) {
    const page = await browser.newPage({ viewport: { width, height: width === 320 ? 1100 : 900 } });
    await page.goto(home + path); await page.waitForSelector('h1'); await page.waitForTimeout(300);
    const sw = await page.evaluate('document.documentElement.scrollWidth');
    console.log(name, width, sw);
    await page.screenshot({ path: `/tmp/docs21.shots/${name}-${width}.png` });
    await page.close();
  }
}
await browser.close(); await server.close();

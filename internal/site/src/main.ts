// Builds the documentation site into internal/site/dist-site: `npm run docs:build`.
import { join } from 'node:path';
import { run } from 'heki';
import { build } from 'vitepress';
import { writeApiPages } from './api-pages.ts';
import { deadLinks } from './dead-links.ts';
import { homeOf, stagePages } from './stage-pages.ts';

const root = process.cwd();
const site = join(root, 'internal/site');
const sources = join(site, '.sources');

stagePages(root, sources);
const modules = await writeApiPages(root, join(sources, 'api'));
process.stdout.write(`API pages of ${modules} entry points\n`);

/** A real kernel whose text an attacker has made writable, as the page that an audit writes. */
const TAMPERED = join(root, 'fixtures/k61-256-tampered-text-alias.elf.gz');
const silent = { isTerminal: false, columns: undefined, write: () => Promise.resolve() };
const exitCode = await run(['audit', TAMPERED, '--html', join(sources, 'public/audit.html')], {
  stdout: silent,
  stderr: silent,
  env: {},
});
if (exitCode !== 1) throw new Error(`heki audit ended with ${exitCode}, expected findings`);

// The inspector as it is: visitors open dumps in it, which stay in their browsers.
const written = await run(['inspect', '--static', join(sources, 'public/inspector')], {
  stdout: silent,
  stderr: silent,
  env: {},
});
if (written !== 0) throw new Error(`heki inspect ended with ${written}`);

await build(site);
const dead = deadLinks({ folder: join(site, 'dist-site'), root, home: homeOf(root) });
if (dead.length > 0) throw new Error(`links that lead nowhere:\n${dead.join('\n')}`);

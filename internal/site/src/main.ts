// Builds the documentation site into internal/site/dist-site: `npm run docs:build`.
import { join } from 'node:path';
import { run } from 'heki';
import { build } from 'vitepress';
import { writeApiPages } from './api-pages.ts';
import { deadLinks } from './dead-links.ts';
import { homeOf } from './home.ts';
import { stagePages } from './stage-pages.ts';

const root = process.cwd();
const site = join(root, 'internal/site');
const sources = join(site, '.sources');

stagePages(root, sources);
const modules = await writeApiPages(root, join(sources, 'api'));
process.stdout.write(`API pages of ${modules} entry points\n`);

/** A real kernel whose text an attacker has made writable, as the page that an audit writes. */
const TAMPERED = join(root, 'fixtures/k61-256-tampered-text-alias.elf.gz');
await heki(1, 'audit', TAMPERED, '--html', join(sources, 'public/audit.html'));

// The inspector as it is: visitors open dumps in it, which stay in their browsers.
await heki(0, 'inspect', '--static', join(sources, 'public/inspector'));

await build(site);
const dead = deadLinks({ folder: join(site, 'dist-site'), root, home: homeOf(root) });
if (dead.length > 0) throw new Error(`links that lead nowhere:\n${dead.join('\n')}`);

/** Runs a command that ends with `expected`. @throws {Error} with all that it printed when it does not */
async function heki(expected: number, ...args: readonly string[]): Promise<void> {
  let printed = '';
  const output = {
    isTerminal: false,
    columns: undefined,
    write(text: string) {
      printed += text;
      return Promise.resolve();
    },
  };
  const exitCode = await run(args, { stdout: output, stderr: output, env: {} });
  if (exitCode !== expected)
    throw new Error(`heki ${args.join(' ')} ended with ${exitCode}, expected ${expected}: ${printed}`);
}

// Builds the documentation site into internal/site/dist-site: `npm run docs:build`.
import { join } from 'node:path';
import { build } from 'vitepress';
import { writeApiPages } from './api-pages.ts';
import { stagePages } from './stage-pages.ts';

const root = process.cwd();
const site = join(root, 'internal/site');
const sources = join(site, '.sources');

stagePages(root, sources);
const { modules, warnings } = await writeApiPages(root, join(sources, 'api'));
process.stdout.write(`API pages of ${modules} entry points, ${warnings} warnings\n`);
await build(site);

// Builds dist/audit.html: script and style in one file, which a Content-Security-Policy lets through by their hashes and nothing else.
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';

const folder = fileURLToPath(new URL('.', import.meta.url));
const [{ output }] = await build({
  configFile: false,
  root: folder,
  logLevel: 'error',
  resolve: { conditions: ['@heki/source'] },
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  build: {
    write: false,
    lib: { entry: 'src/views/main.tsx', formats: ['iife'], name: 'heki', fileName: 'audit' },
  },
});
const script = output.find(({ type }) => type === 'chunk')?.code.trim() ?? '';
const style = readFileSync(join(folder, 'src', 'views', 'page.css'), 'utf8').trim();
// What would end the element, or change how the rest of it is read.
if (script === '' || /<\/script|<!--|<script/i.test(script))
  throw new Error('the script cannot stand in a page');
if (style === '' || style.includes('</')) throw new Error('the style cannot stand in a page');

// The licence of what is in the script asks for it.
const require = createRequire(import.meta.url);
const license = readFileSync(join(dirname(require.resolve('preact/package.json')), 'LICENSE'), 'utf8').trim();
if (license.includes('--')) throw new Error('the licence of Preact cannot stand in a comment');

const hash = (text) => createHash('sha256').update(text).digest('base64');
const parts = {
  LICENSE: license,
  '/* script */': script,
  '/* style */': style,
  'SCRIPT-HASH': hash(script),
  'STYLE-HASH': hash(style),
};
const page = readFileSync(join(folder, 'src', 'views', 'page.html'), 'utf8').replace(
  /\/\* s(?:cript|tyle) \*\/|S(?:CRIPT|TYLE)-HASH|^LICENSE$/gm,
  (mark) => parts[mark],
);
mkdirSync(join(folder, 'dist'), { recursive: true });
// Whoever reads it meanwhile has the old one or the new one.
const file = join(folder, 'dist', 'audit.html');
writeFileSync(`${file}.new`, page);
renameSync(`${file}.new`, file);

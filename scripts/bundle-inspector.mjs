// Makes the inspector, `packages/heki/inspector`: a page, the worker that answers it, and the kernel that it opens where nothing else
// is named. The folder is a web site as it stands; `heki inspect` serves it.
import { copyFileSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { build } from 'vite';
import { root } from '../internal/launcher/src/root.mjs';

const heki = join(root, 'packages', 'heki');
const inspector = join(root, 'packages', 'inspector');
const folder = join(heki, 'inspector');
const { version } = JSON.parse(readFileSync(join(heki, 'package.json'), 'utf8'));
const fromHeki = createRequire(join(heki, 'package.json'));

/** iced-x86 is built for Node, which reads its WebAssembly from disk: a worker waits for it where it comes from itself. */
const icedForBrowsers = {
  name: 'iced-x86-for-browsers',
  transform(code, id) {
    if (!/[\\/]iced_x86\.js$/.test(id)) return undefined;
    const changed = code
      .replace('const { TextDecoder, TextEncoder } = require(`util`);', '')
      .replace(/const path = require\('path'\).*\nconst bytes = .*/, GLUE);
    if (changed.includes("require('fs')") || !changed.includes(GLUE))
      throw new Error('iced-x86 is not as it was');
    return { code: changed, map: null };
  },
};
const GLUE = `const request = new XMLHttpRequest();
request.open('GET', new URL('iced_x86_bg.wasm', self.location.href).href, false);
request.responseType = 'arraybuffer';
request.send();
if (request.status !== 200) throw new Error('the disassembler cannot be loaded: ' + request.status);
const bytes = request.response;`;

/** Bundles `input` and whatever it loads later. */
const bundle = (name, from, input) =>
  build({
    configFile: false,
    root: from,
    logLevel: 'error',
    resolve: { conditions: ['@heki/source'] },
    oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
    define: { HEKI_VERSION: JSON.stringify(version) },
    plugins: [icedForBrowsers],
    build: {
      outDir: folder,
      emptyOutDir: false,
      target: 'es2023',
      modulePreload: false,
      license: { fileName: `LICENSES-${name}.md` },
      rolldownOptions: {
        input: { [name]: join(from, input) },
        output: {
          entryFileNames: '[name].js',
          chunkFileNames: `${name}-[name]-[hash].js`,
          format: 'es',
          // Errors of the packages are told by the names of their classes.
          keepNames: true,
        },
      },
    },
  });

rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
await bundle('app', inspector, 'src/app/main.tsx');
await bundle('worker', heki, 'src/inspect/worker/worker.ts');
copyFileSync(join(inspector, 'src', 'app', 'index.html'), join(folder, 'index.html'));
writeFileSync(
  join(folder, 'app.css'),
  ['views/page.css', 'app/app.css']
    .map((file) => readFileSync(join(inspector, 'src', file), 'utf8'))
    .join('\n'),
);
copyFileSync(
  join(dirname(fromHeki.resolve('iced-x86')), 'iced_x86_bg.wasm'),
  join(folder, 'iced_x86_bg.wasm'),
);
copyFileSync(
  join(root, 'packages', 'scenario', 'scenario.schema.json'),
  join(folder, 'scenario.schema.json'),
);

// What opens where nothing is named: the kernel that comes with heki.
const kernel = fromHeki.resolve('@heki/vmcore/data/k61-256-nokaslr.elf.gz');
copyFileSync(kernel, join(folder, 'kernel.elf.gz'));
const ownKernel = JSON.stringify({
  name: 'k61-256-nokaslr.elf.gz',
  parts: [{ url: 'kernel.elf.gz', size: statSync(kernel).size }],
  sidecar: {
    name: 'k61-256-nokaslr.json',
    text: readFileSync(kernel.replace(/\.elf\.gz$/, '.json'), 'utf8'),
  },
});
for (const name of ['source.json', 'kernel.json']) writeFileSync(join(folder, name), ownKernel);

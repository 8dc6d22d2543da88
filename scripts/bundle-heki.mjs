// Makes the command's bundle of what the compiler left in every `dist`: `packages/heki/bundle`, chunks that are loaded when a command
// needs them. `main.js` takes it only where it was made of the build that stands there (packages/heki/src/bundle.ts).
import { existsSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { build } from 'vite';
import { root } from '../internal/launcher/src/root.mjs';

const heki = join(root, 'packages', 'heki');
const folder = join(heki, 'bundle');

/** By the path from the bundle, what tells each package's build from others. */
function builds() {
  const files = readdirSync(join(root, 'packages'))
    .map((name) => join(root, 'packages', name, 'dist', '.tsbuildinfo'))
    .filter((file) => existsSync(file));
  return Object.fromEntries(
    files.map((file) => {
      const { size, mtimeMs } = statSync(file);
      return [relative(folder, file).replaceAll('\\', '/'), `${size} ${mtimeMs}`];
    }),
  );
}

const before = builds();
await build({
  configFile: false,
  root: heki,
  logLevel: 'error',
  // iced-x86 is a megabyte, which few commands load; of @heki/fleet, a database is a part, and it may be left out.
  ssr: {
    noExternal: true,
    external: ['iced-x86', '@heki/fleet', '@heki/fleet/queue', '@heki/fleet/telemetry', '@heki/fleet/worker'],
  },
  build: {
    ssr: true,
    target: 'node20',
    minify: false,
    outDir: folder,
    emptyOutDir: true,
    license: { fileName: 'LICENSES.md' },
    rolldownOptions: {
      input: { command: join(heki, 'dist', 'command.js') },
      output: {
        entryFileNames: '[name].js',
        chunkFileNames: '[name]-[hash].js',
        // Comments and spaces are half of it, and names are what errors are told by.
        minify: { compress: false, mangle: false, codegen: { removeWhitespace: true } },
      },
    },
  },
});
writeFileSync(join(folder, 'made-of.json'), `${JSON.stringify(before, undefined, 2)}\n`);

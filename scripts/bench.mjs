// Bundles and runs the benchmarks that lie beside the sources: `pnpm bench [NAME...]` (all, or those whose path contains a NAME).
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { build } from 'vite';

const wanted = process.argv.slice(2);
const files = readdirSync('packages')
  .flatMap((name) =>
    readdirSync(join('packages', name, 'src'), { recursive: true }).map((file) =>
      join('packages', name, 'src', String(file)),
    ),
  )
  .filter((file) => file.endsWith('.bench.ts'))
  .sort();
const chosen = files.filter((file) => wanted.length === 0 || wanted.some((name) => file.includes(name)));
if (chosen.length === 0) {
  console.error(`no benchmark matches ${wanted.join(' ')}; there are:\n${files.join('\n')}`);
  process.exit(2);
}

for (const file of chosen) {
  const outDir = join('node_modules', '.cache', 'bench', file.replaceAll('/', '-'));
  await build({
    configFile: false,
    logLevel: 'error',
    resolve: { conditions: ['@heki/source'] },
    ssr: { noExternal: [/^@heki/], resolve: { conditions: ['@heki/source'] } },
    build: { ssr: file, outDir, emptyOutDir: true, minify: false, target: 'node20' },
  });
  console.log(`\n${file}`);
  const { status } = spawnSync(
    process.execPath,
    ['--expose-gc', join(outDir, basename(file).replace(/\.ts$/, '.js'))],
    { stdio: 'inherit' },
  );
  if (status !== 0) process.exit(1);
}

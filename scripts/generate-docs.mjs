// Writes the parts of the documentation that the model produces: `pnpm docs`. With --check: fails when one is stale.
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
const build = spawnSync(process.execPath, [tsc, '-b', 'internal/docs'], { cwd: root, encoding: 'utf8' });
if (build.status !== 0) {
  process.stderr.write(`pnpm docs: the build failed\n${build.stdout}${build.stderr}`);
  process.exit(1);
}
const generator = join(root, 'internal', 'docs', 'dist', 'main.js');
const { status } = spawnSync(process.execPath, [generator, ...process.argv.slice(2)], {
  cwd: root,
  stdio: 'inherit',
});
process.exit(status ?? 1);

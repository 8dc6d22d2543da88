// Builds the vector runner and runs it: `pnpm vectors DIR`.
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
const build = spawnSync(process.execPath, [tsc, '-b', 'internal/vectors'], { cwd: root, encoding: 'utf8' });
if (build.status !== 0) {
  process.stderr.write(`pnpm vectors: the build failed\n${build.stdout}${build.stderr}`);
  process.exit(1);
}
const runner = join(root, 'internal', 'vectors', 'dist', 'main.js');
const { status } = spawnSync(process.execPath, [runner, ...process.argv.slice(2)], { stdio: 'inherit' });
process.exit(status ?? 1);

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { root, tool } from '../internal/launcher/src/root.mjs';

/**
 * Builds the private package `internal/NAME` and runs its program with this process's arguments, then ends with its
 * exit code. Nothing is printed of a build that succeeds.
 */
export function runInternalProgram(name, options = {}) {
  const tsc = tool('typescript', 'bin', 'tsc');
  const build = spawnSync(process.execPath, [tsc, '-b', `internal/${name}`], { cwd: root, encoding: 'utf8' });
  if (build.status !== 0) {
    process.stderr.write(`pnpm ${name}: the build failed\n${build.stdout}${build.stderr}`);
    process.exit(1);
  }
  const program = join(root, 'internal', name, 'dist', 'main.js');
  const { status } = spawnSync(process.execPath, [program, ...process.argv.slice(2)], {
    stdio: 'inherit',
    ...options,
  });
  process.exit(status ?? 1);
}

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const HEKI = fileURLToPath(new URL('../../../packages/heki/dist/main.js', import.meta.url));

/**
 * What the command prints as a process of its own: only that has threads, processes of its own and a folder.
 *
 * @throws {Error} when it was called wrongly, or could not read
 */
export function hekiProcess(args: readonly string[], cwd: string = process.cwd()): string {
  const { status, stdout, stderr } = spawnSync(process.execPath, [HEKI, ...args], { cwd, encoding: 'utf8' });
  if (status !== 0 && status !== 1) throw new Error(`heki ${args.join(' ')} ended with ${status}: ${stderr}`);
  return stdout;
}

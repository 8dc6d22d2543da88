// Brings the workspace into a state that can run: the pinned pnpm, the dependencies, the build.
// Everything it has to say goes to standard error, so that standard output stays the command's own.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
const stamp = join(root, 'node_modules', '.cache', 'heki', 'installed');

/** What an installation depends on: the lock file and every manifest. */
function installationKey() {
  const hash = createHash('sha256');
  const manifests = ['packages', 'internal', 'examples'].flatMap((folder) =>
    existsSync(join(root, folder))
      ? readdirSync(join(root, folder)).map((name) => join(folder, name, 'package.json'))
      : [],
  );
  for (const file of ['package.json', 'pnpm-lock.yaml', 'pnpm-workspace.yaml', ...manifests.sort()]) {
    if (existsSync(join(root, file))) hash.update(file).update(readFileSync(join(root, file)));
  }
  return hash.update(process.version).digest('hex');
}

/**
 * Runs a step of the set-up, announced as `what` unless that is undefined. Its output is shown only when it fails,
 * and then the process ends with code 1.
 */
function setUp(what, command, args) {
  if (what !== undefined) process.stderr.write(`${what} ...\n`);
  const { status, error, stdout, stderr } = spawnSync(command, args, {
    cwd: root,
    encoding: 'utf8',
    shell: process.platform === 'win32',
    maxBuffer: 64 * 1024 * 1024,
  });
  if (status === 0) return;
  process.stderr.write(
    `${stdout ?? ''}${stderr ?? ''}\n${what ?? 'Building'} failed${error ? `: ${error.message}` : ''}\n`,
  );
  process.exit(1);
}

/** Installs what the lock file names with the pnpm that package.json pins, unless that is done already. */
function install() {
  const key = installationKey();
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === key) return;
  const { packageManager } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  setUp('Installing dependencies', 'npx', [
    '--yes',
    packageManager,
    'install',
    '--frozen-lockfile',
    '--loglevel=warn',
    '--config.confirm-modules-purge=false',
  ]);
  mkdirSync(dirname(stamp), { recursive: true });
  writeFileSync(stamp, key);
}

/** The path of a tool's script in the root's node_modules. */
export function tool(...parts) {
  return join(root, 'node_modules', ...parts);
}

/** Compiles what changed since the last build; says so only when there is everything to compile. */
function build() {
  const first = !existsSync(join(root, 'packages', 'heki', 'dist', 'main.js'));
  setUp(first ? 'Building' : undefined, process.execPath, [tool('typescript', 'bin', 'tsc'), '-b']);
}

/** Installs and builds what is not installed and built yet. */
export function prepare() {
  install();
  build();
}

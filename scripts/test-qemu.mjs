// `npm run test:qemu`: boots a Debian kernel under QEMU and holds what heki reads of it, in every format and live, to what QEMU
// says; with `--all` every guest (a part of `npm run test:full`). Where the programs cannot be had it says so, and that nothing was run:
// with `--all` that is a failure. Ends with a line `N passed, N failed`.
import { spawnSync } from 'node:child_process';
import { accessSync, constants, mkdirSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { delimiter, join } from 'node:path';
import { root, tool } from '../internal/launcher/src/root.mjs';

const all = process.argv.includes('--all');

/** Programs, each with the Debian package that has it. */
const PROGRAMS = {
  'qemu-system-x86_64': 'qemu-system-x86',
  busybox: 'busybox-static',
  makedumpfile: 'makedumpfile',
  kexec: 'kexec-tools',
  depmod: 'kmod',
  cpio: 'cpio',
  xz: 'xz-utils',
};
/** The packages have to come over the network. */
const INSTALL_MS = all ? 240_000 : 60_000;

const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'];
const isThere = (program) =>
  folders.some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
const missing = () => Object.entries(PROGRAMS).filter(([program]) => !isThere(program));

/** Why nothing can be run; `undefined` when it can. */
function reason() {
  if (process.platform !== 'linux' || process.arch !== 'x64') return 'it takes Linux on x86-64';
  if (!isThere('apt-get')) return 'it takes Debian: there is no apt-get here';
  const packages = missing().map(([, name]) => name);
  if (packages.length === 0) return undefined;
  if (userInfo().uid !== 0) return `apt-get install ${packages.join(' ')} takes root`;
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const apt = (...args) => spawnSync('apt-get', args, { env, timeout: INSTALL_MS, encoding: 'utf8' });
  const install = () => apt('install', '-y', '--no-install-recommends', ...packages);
  if (install().status !== 0) {
    apt('update');
    install();
  }
  const still = missing().map(([, name]) => name);
  return still.length === 0 ? undefined : `apt-get cannot install ${still.join(' ')}`;
}

const why = reason();
if (why === undefined) {
  const build = spawnSync(process.execPath, [tool('typescript', 'bin', 'tsc'), '-b', 'internal/guests'], {
    cwd: root,
    stdio: 'inherit',
  });
  if (build.status !== 0) process.exit(1);
  const folder = join(tmpdir(), `heki-guests-${userInfo().uid}`);
  mkdirSync(folder, { recursive: true });
  const { status } = spawnSync(
    process.execPath,
    [join(root, 'internal/guests/dist/main.js'), 'check', folder, ...(all ? ['all'] : [])],
    { cwd: root, stdio: 'inherit', env: { ...process.env, PATH: folders.join(delimiter) } },
  );
  process.exitCode = status ?? 1;
} else {
  process.stdout.write(`not run: ${all ? 'all' : 1}: ${why}\n0 passed, ${all ? 1 : 0} failed\n`);
  process.exitCode = all ? 1 : 0;
}

// Programs that only some checks need, brought in as Debian's packages where they are missing.
import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { userInfo } from 'node:os';
import { delimiter, join } from 'node:path';

/** Where programs are looked for. */
export const PROGRAM_FOLDERS = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'];

/** Whether there is a program at `path`. */
export function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

const isThere = (program) => PROGRAM_FOLDERS.some((folder) => isExecutable(join(folder, program)));

/**
 * Installs what is missing of `programs`. Answers why that cannot be; `undefined` when all are there.
 *
 * @param {Readonly<Record<string, string>>} programs each with the package that has it
 * @param {number} milliseconds that an installation may take: packages have to come over the network
 */
function whyNotInstalled(programs, milliseconds) {
  const missing = () => Object.entries(programs).filter(([program]) => !isThere(program));
  if (process.platform !== 'linux' || process.arch !== 'x64') return 'it takes Linux on x86-64';
  if (!isThere('apt-get')) return 'it takes Debian: there is no apt-get here';
  const packages = missing().map(([, name]) => name);
  if (packages.length === 0) return undefined;
  if (userInfo().uid !== 0) return `apt-get install ${packages.join(' ')} takes root`;
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const apt = (...args) => spawnSync('apt-get', args, { env, timeout: milliseconds, encoding: 'utf8' });
  const install = () => apt('install', '-y', '--no-install-recommends', ...packages);
  if (install().status !== 0) {
    apt('update');
    install();
  }
  const still = missing().map(([, name]) => name);
  return still.length === 0 ? undefined : `apt-get cannot install ${still.join(' ')}`;
}

/** What booting real guests takes, each program with the Debian package that has it. */
const GUEST_PROGRAMS = {
  'qemu-system-x86_64': 'qemu-system-x86',
  busybox: 'busybox-static',
  makedumpfile: 'makedumpfile',
  kexec: 'kexec-tools',
  depmod: 'kmod',
  cpio: 'cpio',
  xz: 'xz-utils',
};

/**
 * Brings in what booting real guests takes; why that cannot be.
 *
 * @param {boolean} patient whether the packages may take minutes over the network
 */
export function whyNoGuests(patient) {
  return whyNotInstalled(GUEST_PROGRAMS, patient ? 240_000 : 60_000);
}

/** Brings in a PostgreSQL server; why that cannot be. */
export function whyNoPostgres() {
  return whyNotInstalled({ pg_ctlcluster: 'postgresql' }, 120_000);
}

/** Brings in a browser where there is none, 65 MB of it over the network; why that cannot be. */
export function whyNoBrowser() {
  if (isThere('chromium')) return undefined;
  return whyNotInstalled({ 'chromium-headless-shell': 'chromium-headless-shell' }, 120_000);
}

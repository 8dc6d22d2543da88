import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

/** For some ten MiB from the archive. */
const DOWNLOAD_MS = 60_000;

/** A Debian package, unpacked. */
export interface UnpackedPackage {
  /** Where its files are. */
  readonly root: string;
  /** Name of the .deb. */
  readonly file: string;
}

/** Unpacks the Debian package `name` under `folder`, and fetches it from the archive if it is not there. */
export function unpackPackage(name: string, folder: string): UnpackedPackage {
  mkdirSync(join(folder, 'root'), { recursive: true });
  const find = () => readdirSync(folder).find((file) => file.startsWith(`${name}_`) && file.endsWith('.deb'));
  let file = find();
  if (file === undefined) {
    download(name, folder);
    file = find();
  }
  if (file === undefined) throw new Error(`apt-get download ${name} left no ${name}_*.deb in ${folder}`);
  const root = join(folder, 'root', name);
  if (!existsSync(root)) execFileSync('dpkg', ['-x', join(folder, file), root]);
  return { root, file };
}

/** Lists of packages that are older than the archive name versions that it has no more. */
function download(name: string, folder: string): void {
  const options = { cwd: folder, stdio: 'ignore', timeout: DOWNLOAD_MS } as const;
  try {
    execFileSync('apt-get', ['download', name], options);
  } catch {
    execFileSync('apt-get', ['update'], options);
    execFileSync('apt-get', ['download', name], options);
  }
}

/** The release of the kernel in an unpacked package: `6.1.0-56-cloud-amd64`. */
export function kernelRelease({ root }: UnpackedPackage): string {
  const image = readdirSync(join(root, 'boot')).find((name) => name.startsWith('vmlinuz-'));
  if (image === undefined) throw new Error(`no vmlinuz under ${root}/boot`);
  return image.slice('vmlinuz-'.length);
}

/** The kernel that the package `meta` of the archive stands for today (`linux-image-cloud-amd64`), without `linux-image-`. */
export function currentKernel(meta: string): string {
  const text = execFileSync('apt-cache', ['depends', meta], {
    encoding: 'utf8',
    env: { ...process.env, LC_ALL: 'C' },
  });
  const kernel = /^ *Depends: linux-image-(\d\S*)$/m.exec(text)?.[1];
  if (kernel === undefined) throw new Error(`apt-cache knows no kernel that ${meta} depends on`);
  return kernel;
}

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

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
    execFileSync('apt-get', ['download', name], { cwd: folder, stdio: 'ignore' });
    file = find();
  }
  if (file === undefined) throw new Error(`apt-get download ${name} left no ${name}_*.deb in ${folder}`);
  const root = join(folder, 'root', name);
  if (!existsSync(root)) execFileSync('dpkg', ['-x', join(folder, file), root]);
  return { root, file };
}

/** The release of the kernel in an unpacked package: `6.1.0-56-cloud-amd64`. */
export function kernelRelease({ root }: UnpackedPackage): string {
  const image = readdirSync(join(root, 'boot')).find((name) => name.startsWith('vmlinuz-'));
  if (image === undefined) throw new Error(`no vmlinuz under ${root}/boot`);
  return image.slice('vmlinuz-'.length);
}

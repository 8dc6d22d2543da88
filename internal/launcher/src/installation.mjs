// Whether what is installed is what the lock file, every manifest and this Node ask for.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { installed, manifests, stateOfManifests } from './is-set-up.mjs';
import { root } from './root.mjs';

/** What an installation depends on, by its contents. */
function installationKey() {
  const hash = createHash('sha256');
  for (const file of manifests()) {
    const path = join(root, file);
    if (existsSync(path)) hash.update(path).update(readFileSync(path));
  }
  return hash.update(process.version).digest('hex');
}

export function isInstalled() {
  return existsSync(installed) && readFileSync(installed, 'utf8').startsWith(installationKey());
}

/** To be called before an installation: where it is cut short, what was there before is no longer whole. */
export function forgetInstallation() {
  rmSync(installed, { force: true });
}

/** Puts on record what is installed. Its second part spares the next command to read all manifests (`isSetUp`). */
export function recordInstallation() {
  mkdirSync(dirname(installed), { recursive: true });
  writeFileSync(installed, `${installationKey()}\n${stateOfManifests()}`);
}

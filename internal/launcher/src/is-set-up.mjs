// What every command asks first: whether anything changed since the clone was set up. By sizes and times alone; `setUp` looks closer.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isBuilt } from './build-state.mjs';
import { stateOfFiles } from './file-state.mjs';
import { root } from './root.mjs';

/** Where an installation is on record: what it depends on by contents, and from the second line on `stateOfManifests`. */
export const installed = join(root, 'node_modules', '.cache', 'heki', 'installed');

/** The files that an installation depends on. */
export function manifests() {
  const inFolders = ['packages', 'internal', 'examples'].flatMap((folder) =>
    foldersIn(folder).map((name) => `${folder}/${name}/package.json`),
  );
  return ['package.json', 'pnpm-lock.yaml', 'pnpm-workspace.yaml', ...inFolders.sort()];
}

function foldersIn(folder) {
  try {
    const entries = readdirSync(join(root, folder), { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  } catch {
    return [];
  }
}

/** What an installation depends on, by sizes and times. */
export function stateOfManifests() {
  return `${process.version}\n${stateOfFiles(root, manifests())}`;
}

/** @param {boolean} forTests whether it is not enough that the command runs */
export function isSetUp(forTests) {
  return isInstalledAsRecorded() && isBuilt(forTests);
}

function isInstalledAsRecorded() {
  try {
    const record = readFileSync(installed, 'utf8');
    return record.slice(record.indexOf('\n') + 1) === stateOfManifests();
  } catch {
    return false;
  }
}

import { readFileSync, statSync } from 'node:fs';

/** Beside `dist`: the command with all packages in few files, of which a process loads some dozen instead of some hundred. */
const BUNDLE = new URL('../bundle/', import.meta.url);

/**
 * Where the bundle starts; `undefined` where there is none, or where it was not made of what stands in every `dist` now, as after a
 * build in a clone that made no new one.
 */
export function bundledCommand(bundle: URL = BUNDLE): URL | undefined {
  try {
    const builds: Record<string, string> = JSON.parse(readFileSync(new URL('made-of.json', bundle), 'utf8'));
    const isStale = Object.entries(builds).some(([path, build]) => {
      const now = buildAt(new URL(path, bundle));
      return now !== undefined && now !== build;
    });
    return isStale ? undefined : new URL('command.js', bundle);
  } catch {
    return undefined;
  }
}

/** Tells a build from others by what the compiler leaves behind in a clone; what is installed from a registry has nothing of it. */
function buildAt(info: URL): string | undefined {
  const about = statSync(info, { throwIfNoEntry: false });
  return about && `${about.size} ${about.mtimeMs}`;
}

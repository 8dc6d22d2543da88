import { readdirSync, statSync } from 'node:fs';

/**
 * Sizes and times of `parts` of a folder, files or folders with all that is in them, a line each: whoever writes to a file, adds or
 * removes one changes it. The second time is the system's own, of the last change: `touch` and `cp -p` can set the first back, and not that.
 * What is not there has no line.
 *
 * @param {string} folder
 * @param {readonly string[]} parts
 * @param {(name: string) => boolean} counts Whether a file in one of the folders counts, by its name.
 */
export function stateOfFiles(folder, parts, counts = () => true) {
  const lines = [];
  for (const part of parts) {
    const about = statSync(`${folder}/${part}`, { throwIfNoEntry: false });
    if (about?.isDirectory()) addFolder(lines, folder, part, counts);
    else if (about) addFile(lines, part, about);
  }
  return lines.join('\n');
}

function addFolder(lines, folder, path, counts) {
  const entries = readdirSync(`${folder}/${path}`, { withFileTypes: true });
  entries.sort((one, other) => (one.name < other.name ? -1 : 1));
  for (const entry of entries) {
    const inside = `${path}/${entry.name}`;
    if (entry.isDirectory()) addFolder(lines, folder, inside, counts);
    else if (counts(entry.name)) {
      const about = statSync(`${folder}/${inside}`, { throwIfNoEntry: false });
      if (about) addFile(lines, inside, about);
    }
  }
}

function addFile(lines, path, { size, mtimeMs, ctimeMs }) {
  lines.push(`${path} ${size} ${mtimeMs} ${ctimeMs}`);
}

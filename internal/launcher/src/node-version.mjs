// Read by every Node that has modules: no syntax newer than theirs, and no import.

/** The oldest Node that heki runs on; every manifest's `engines` says the same. */
const OLDEST = [20, 19];

/**
 * Calls `start` unless this Node is too old, which is told in words.
 *
 * @param {() => void} start
 */
export function ifNodeIsNewEnough(start) {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > OLDEST[0] || (major === OLDEST[0] && minor >= OLDEST[1])) return start();
  process.stderr.write(
    `heki needs Node ${OLDEST.join('.')} or newer; this is Node ${process.versions.node} (${process.execPath}). https://nodejs.org has newer ones.\n`,
  );
  process.exitCode = 1;
}

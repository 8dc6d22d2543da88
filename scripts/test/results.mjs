// What passed is remembered, with the hash of what it depended on; what failed never is.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../../internal/launcher/src/root.mjs';

const folder = join(root, 'node_modules', '.cache', 'heki', 'passed');
const fileOf = (task) => join(folder, `${task.replaceAll(/[^\w.-]/g, '_')}.json`);

/**
 * How many passed when `task` last ran on these inputs; undefined when it did not, or failed.
 *
 * @param {string} task
 * @param {string} hash
 * @returns {number | undefined}
 */
export function remembered(task, hash) {
  try {
    const result = JSON.parse(readFileSync(fileOf(task), 'utf8'));
    return result.hash === hash && Number.isInteger(result.passed) ? result.passed : undefined;
  } catch {
    return undefined;
  }
}

/**
 * @param {string} task
 * @param {string} hash
 * @param {number} passed
 */
export function remember(task, hash, passed) {
  mkdirSync(folder, { recursive: true });
  writeFileSync(fileOf(task), JSON.stringify({ task, hash, passed }));
}

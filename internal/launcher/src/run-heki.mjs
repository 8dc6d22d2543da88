import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { isSetUp } from './is-set-up.mjs';
import { root } from './root.mjs';

/**
 * Sets up what is missing. Answers whether heki can run; tells why not.
 *
 * @param {{ readonly forTests?: boolean }} [options] `forTests`: all that is built has to be whole, and no type in any source wrong
 */
export async function setUpOrTell({ forTests = false } = {}) {
  if (isSetUp(forTests)) return true;
  const { SetUpError, setUp } = await import('./set-up.mjs');
  try {
    await setUp(forTests);
    return true;
  } catch (error) {
    if (!(error instanceof SetUpError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
    return false;
  }
}

/**
 * Is the heki command with `args`, in this process. Without arguments it does the main job: it protects the kernel that comes
 * with heki and attacks it.
 *
 * @param {readonly string[]} args
 */
export async function runHeki(args) {
  const main = join(root, 'packages', 'heki', 'dist', 'main.js');
  process.argv.splice(1, process.argv.length, main, ...(args.length > 0 ? args : ['protect']));
  await import(pathToFileURL(main).href);
}

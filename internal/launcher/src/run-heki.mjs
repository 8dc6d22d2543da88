import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { isSetUp } from './is-set-up.mjs';
import { root } from './root.mjs';

/**
 * Sets up what is missing. Answers whether heki can run; tells why not.
 *
 * @param {{ readonly checked?: boolean }} [options] `checked`: no type in any source may be wrong
 */
export async function setUpOrTell({ checked = false } = {}) {
  if (isSetUp(checked)) return true;
  const { SetUpError, setUp } = await import('./set-up.mjs');
  try {
    await setUp(checked);
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

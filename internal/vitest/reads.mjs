// Notes which files each test file reads, into the file that HEKI_TEST_READS names: what a test's result is remembered by is held to it.
//
// A read is charged to the test file that is under way. One that ran out of time may go on beside the next, which is charged then; the run has
// failed anyway. AsyncLocalStorage would tell the two apart, and on Node 20 makes every promise of every test dearer.
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const { appendFileSync } = fs;
const seen = new Set();

/** @param {string} log */
export function noteReads(log) {
  const note = (path) => {
    const test = globalThis.__vitest_worker__?.filepath;
    if (test === undefined || !(typeof path === 'string' || path instanceof URL)) return;
    const line = `${test}\t${path instanceof URL ? fileURLToPath(path) : resolve(path)}\n`;
    if (seen.has(line)) return;
    seen.add(line);
    appendFileSync(log, line);
  };
  for (const [module, names] of [
    [fs, ['readFileSync', 'openSync', 'readFile', 'open', 'createReadStream']],
    [fs.promises, ['readFile', 'open']],
  ]) {
    for (const name of names) {
      const original = module[name];
      module[name] = (...args) => {
        note(args[0]);
        return original.apply(module, args);
      };
    }
  }
  syncBuiltinESMExports();
}

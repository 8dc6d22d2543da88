import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { threadsFor } from './run-in-row-threads.ts';

const scratch = mkdtempSync(join(tmpdir(), 'heki-rows-'));
afterAll(() => rmSync(scratch, { recursive: true }));

/** Runs `script` in a process of its own, because threads take over how this one was started: the JSON that it prints. */
function runScript(script: string): unknown {
  const file = join(scratch, 'script.mjs');
  writeFileSync(file, script);
  const env = { PATH: process.env.PATH };
  return JSON.parse(execFileSync(process.execPath, [file], { env, encoding: 'utf8' }));
}

/** A file of a package as it was built, which `npm test` does before the tests run. */
const built = (file: string): string => JSON.stringify(new URL(`../../../${file}`, import.meta.url).href);

const NAMES = ['store-text', 'race-poke-window', 'store-data'];
const outcome = runScript(`
  import { isDeepStrictEqual } from 'node:util';
  import { ATTACK_MACHINES, CATALOGUE, runMatrix } from ${built('attacks/dist/index.js')};
  import { labBackend } from ${built('heki/dist/attack/lab-backend.js')};
  import { runInRowThreads } from ${built('heki/dist/attack/run-in-row-threads.js')};
  const attacks = CATALOGUE.filter(({ name }) => ${JSON.stringify(NAMES)}.includes(name));
  const machines = ATTACK_MACHINES.filter(({ name }) => ['no-heki', 'hardened'].includes(name));
  const done = [];
  const options = { attacks, machines, prove: false, onRow: ({ name }) => done.push(name) };
  const inThreads = await runInRowThreads(new URL(${built('heki/dist/main.js')}), 2, options);
  const alone = runMatrix({ attacks, machines, findBackend: labBackend });
  const rows = inThreads.rows.map(({ attack }) => attack.name);
  const failed = runInRowThreads(new URL('data:text/javascript,process.exit(7)'), 1, options);
  const error = await failed.catch(({ message }) => message);
  console.log(JSON.stringify({ same: isDeepStrictEqual(inThreads, alone), rows, done: done.sort(), error }));
`);

test('rows that threads run side by side are those that come one after the other, in their order', () => {
  expect(outcome).toMatchObject({ same: true, rows: NAMES, done: NAMES.toSorted() });
});

test('a thread that ends before its work is done is an error', () => {
  expect(outcome).toMatchObject({ error: 'a thread ended with 7' });
});

test('threads are for the whole table, and for more than one processor', () => {
  expect([threadsFor(1768, 4), threadsFor(1768, 1), threadsFor(12, 4)]).toEqual([4, 0, 0]);
});

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { createJobProcess } from './job-process.ts';

const scratch = mkdtempSync(join(tmpdir(), 'heki-job-'));
afterAll(() => rmSync(scratch, { recursive: true }));
const SERVE = new URL('../../dist/worker/serve-jobs.js', import.meta.url).href;

/** Does what its first word says. */
const program = join(scratch, 'job.mjs');
writeFileSync(
  program,
  `import { serveJobs } from ${JSON.stringify(SERVE)};
  const kept = [];
  await serveJobs(async ([what, ...rest]) => {
    if (what === 'hang') for (;;);
    if (what === 'exit') process.exit(7);
    if (what === 'kill') process.kill(process.pid, 'SIGSEGV');
    if (what === 'buffers') for (;;) { kept.push(Buffer.alloc(2 ** 22, 1)); await new Promise(setImmediate); }
    if (what === 'heap') for (;;) kept.push(Array.from({ length: 2 ** 15 }, Math.random));
    return { exitCode: 0, report: rest.join(' ') };
  }, { memoryLimit: Number(process.argv[2]) });`,
);

const MEMORY = 160;
const jobs = createJobProcess({ program, args: [String(MEMORY)], memoryLimit: MEMORY });
afterAll(() => jobs.close());

test.each([
  ['hang', 'took longer than 2 seconds'],
  ['exit', 'ended with code 7'],
  ['kill', 'was ended by SIGSEGV'],
  ['buffers', 'needs more memory than 160 MiB'],
  ['heap', /needs more memory than 160 MiB|FATAL ERROR: .*heap/],
])('a job that does %s fails with its reason, and the next one has a new process', async (what, why) => {
  await expect(jobs.run([what], what === 'hang' ? 2 : 30)).rejects.toThrow(why);
  expect(await jobs.run(['echo', 'still', 'here'], 30)).toMatchObject({ report: 'still here' });
});

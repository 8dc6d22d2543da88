import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';

const scratch = mkdtempSync(join(tmpdir(), 'heki-search-'));
afterAll(() => rmSync(scratch, { recursive: true }));

/** A file of heki as it was built, which `npm test` does before the tests run. */
const built = (file: string): string => JSON.stringify(new URL(`../../dist/${file}`, import.meta.url).href);

test('threads find what one search finds, and one that fails ends it', () => {
  // Threads take over how their process was started: it is one of its own.
  const file = join(scratch, 'script.mjs');
  writeFileSync(
    file,
    `
    import { isDeepStrictEqual } from 'node:util';
    import { exploredMachine } from ${built('explore/explored-machine.js')};
    import { searchThreads } from ${built('explore/search-threads.js')};
    const explored = { name: 'authority', flags: { defect: { 'B-A3': true } }, without: [] };
    const machine = await exploredMachine(explored.name, explored.flags, explored.without);
    const properties = machine.properties.map(({ id }) => id);
    const threads = searchThreads(new URL(${built('main.js')}), 2, { explored, properties });
    const together = await machine.together.search({ depth: 2, expanders: () => threads });
    const failure = await threads[0].expand([['what nobody does']]).catch(({ message }) => message);
    const after = await threads[0].expand([]).catch(({ message }) => message);
    await Promise.all(threads.map((thread) => thread.end()));
    const alone = machine.search({ depth: 2 });
    console.log(JSON.stringify({ same: isDeepStrictEqual(together, alone), fallen: alone.fallen, failure, after }));
    `,
  );
  const env = { PATH: process.env.PATH };
  const printed = execFileSync(process.execPath, [file], {
    env,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const failure = expect.stringContaining('what nobody does');
  expect(JSON.parse(printed)).toEqual({ same: true, fallen: expect.any(Number), failure, after: failure });
  expect(JSON.parse(printed).fallen).toBeGreaterThan(0);
});

import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  cpSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const TRANSLATE = ['translate', 'fixtures/k61-256-nokaslr.elf.gz', '0xffffffff81000000'];

let clone = '';
/** A fresh clone of what stands here, edits and all. */
beforeAll(() => {
  clone = mkdtempSync(join(tmpdir(), 'heki-clone-'));
  const list = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: ROOT,
    encoding: 'utf8',
    maxBuffer: 2 ** 24,
  });
  for (const file of list.split('\0')) {
    if (file === '' || statSync(join(ROOT, file), { throwIfNoEntry: false }) === undefined) continue;
    cpSync(join(ROOT, file), join(clone, file));
  }
  writeFileSync(wrongType(), 'export const version: string = process.version;\n');
}, 60_000);
afterAll(() => rmSync(clone, { recursive: true, force: true }), 600_000);

/** Starts `./heki ARGS` in the clone. `says` waits for a text on standard error. */
function start(args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  const child = spawn('./heki', args, {
    cwd: clone,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      output[name] += text;
    });
  }
  const ended = once(child, 'close').then(([exitCode]) => ({ exitCode, ...output }));
  const says = async (text: string) => {
    while (!output.stderr.includes(text)) await once(child.stderr, 'data');
  };
  return { child, ended, says };
}

/** A source that runs, and whose type is wrong: packages for browsers know no process. */
const wrongType = () => join(clone, 'packages', 'x86', 'src', 'wrong-type.ts');

/** Sets the clone up as tests want it, with every type checked. */
function setUpForTests() {
  const module = JSON.stringify(join(clone, 'internal', 'launcher', 'src', 'run-heki.mjs'));
  const program = `import { setUpOrTell } from ${module}; await setUpOrTell({ forTests: true });`;
  const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    cwd: clone,
    encoding: 'utf8',
  });
  return { exitCode: status, stderr };
}

const works = { exitCode: 0, stdout: expect.stringContaining('read-only, executable') };

describe('set-up in a fresh clone', () => {
  test('tells that there is no network', async () => {
    const { exitCode, stderr } = await start(TRANSLATE, {
      npm_config_cache: join(clone, '.cache', 'npm'),
      npm_config_registry: 'http://127.0.0.1:9/',
      npm_config_fetch_retries: '0',
    }).ended;
    expect(exitCode).toBe(1);
    expect(stderr).toContain(
      'Installing dependencies failed: the package registry cannot be reached (ECONNREFUSED). The first run needs the network, once',
    );
  });

  test('is done by one of two processes after a third was killed in the midst of it', async () => {
    const killed = start(TRANSLATE);
    await killed.says('Installing dependencies');
    killed.child.kill('SIGKILL');
    const [first, second] = [start(TRANSLATE), start(TRANSLATE)];
    const both = await Promise.all([first.ended, second.ended]);
    expect(both).toMatchObject([works, works]);
    expect(both.filter(({ stderr }) => stderr.includes('Building'))).toHaveLength(1);
    expect(both.filter(({ stderr }) => stderr.includes('Another process sets heki up'))).not.toHaveLength(0);
  });

  test('is done once', async () => {
    expect(await start(TRANSLATE).ended).toMatchObject({ ...works, stderr: '' });
  });

  test('leaves no wrong type to those who test, though what was cloned runs with it', () => {
    expect(setUpForTests()).toEqual({
      exitCode: 1,
      stderr: expect.stringContaining('packages/x86/src/wrong-type.ts(1,32): error'),
    });
    rmSync(wrongType());
    expect(setUpForTests()).toEqual({ exitCode: 0, stderr: '' });
  });

  test('repairs for tests what no command loads', () => {
    const file = join(clone, 'internal', 'vectors', 'dist', 'main.js');
    const text = readFileSync(file, 'utf8');
    rmSync(file);
    expect(setUpForTests()).toEqual({ exitCode: 0, stderr: '' });
    expect(readFileSync(file, 'utf8')).toBe(text);
  });

  test('is started again where a build was killed', async () => {
    rmSync(join(clone, 'packages', 'heki', 'dist'), { recursive: true });
    const killed = start(TRANSLATE);
    await killed.says('Building');
    killed.child.kill('SIGKILL');
    expect(await start(TRANSLATE).ended).toMatchObject(works);
  });

  test.each([
    { name: 'cut off', damage: (file: string) => truncateSync(file, 100) },
    { name: 'empty', damage: (file: string) => truncateSync(file, 0) },
    { name: 'missing', damage: (file: string) => rmSync(file) },
    { name: 'overwritten', damage: (file: string) => writeFileSync(file, 'throw new Error("damaged");\n') },
  ])('repairs files in dist that are $name', async ({ damage }) => {
    for (const file of ['x86/dist/index.js', 'heki/dist/main.js']) damage(join(clone, 'packages', file));
    expect(await start(TRANSLATE).ended).toMatchObject(works);
  });

  test('builds what an older file has changed, as one out of a backup, and what it was before', async () => {
    const source = join(clone, 'packages', 'heki', 'src', 'commands', 'translate.ts');
    const [text, { mtimeMs }] = [readFileSync(source, 'utf8'), statSync(source)];
    const edited = text.replace('export ', "process.stdout.write('edited\\n');\nexport ");
    for (const [content, seconds] of [
      [edited, 1_000_000_000],
      [text, mtimeMs / 1000],
    ] as const) {
      writeFileSync(source, content);
      utimesSync(source, seconds, seconds);
      const { exitCode, stdout } = await start(TRANSLATE).ended;
      expect(exitCode).toBe(0);
      expect(stdout.startsWith('edited\n')).toBe(content === edited);
    }
  });
});

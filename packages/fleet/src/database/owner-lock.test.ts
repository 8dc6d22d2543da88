import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { lockFolder } from './owner-lock.ts';

const scratch = mkdtempSync(join(tmpdir(), 'heki-lock-'));
afterAll(() => rmSync(scratch, { recursive: true }));
const folder = () => mkdtempSync(join(scratch, 'fleet-'));
const LOCK = new URL('../../dist/database/owner-lock.js', import.meta.url).href;

/** A process that takes the folder, says `has it` or why not, and lives until it is ended. */
function owner(path: string) {
  const program = `import { lockFolder } from ${JSON.stringify(LOCK)};
    try { lockFolder(process.argv[1]); console.log('has it'); setInterval(() => {}, 1000); }
    catch (error) { console.log(error.message); }`;
  return spawn(process.execPath, ['--input-type=module', '-e', program, path], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}

test('a folder is of one owner: another is refused with its process id, until it is given back', () => {
  const path = folder();
  const unlock = lockFolder(path);
  expect(() => lockFolder(path)).toThrow(`${path}: process ${process.pid} has it`);
  unlock();
  lockFolder(path)();
  expect(readdirSync(path)).toEqual([]);
});

test('a folder that was removed and made again is not given back by its first owner', () => {
  const path = folder();
  const first = lockFolder(path);
  rmSync(path, { recursive: true });
  mkdirSync(path);
  const second = lockFolder(path);
  first();
  expect(() => lockFolder(path)).toThrow(`process ${process.pid} has it`);
  second();
  expect(readdirSync(path)).toEqual([]);
});

test('of processes that come at once to what a killed one left behind, one has it', async () => {
  const path = folder();
  const first = owner(path);
  await once(first.stdout, 'data');
  expect(() => lockFolder(path)).toThrow(`process ${first.pid} has it`);
  first.kill('SIGKILL');
  await once(first, 'close');
  const many = Array.from({ length: 4 }, () => owner(path));
  const said = await Promise.all(many.map(async ({ stdout }) => String((await once(stdout, 'data'))[0])));
  expect(said.filter((text) => text === 'has it\n')).toHaveLength(1);
  for (const one of many) one.kill('SIGKILL');
});

test('a process id that came again is not the owner, and another machine’s process may live', () => {
  const path = folder();
  const lock = { id: '780713ff-c35a-4252-985a-fca2f45078aa', host: hostname(), pid: process.pid };
  writeFileSync(join(path, 'owner.json'), JSON.stringify({ ...lock, began: 'another boot 1' }));
  lockFolder(path)();
  writeFileSync(join(path, 'owner.json'), JSON.stringify({ ...lock, host: 'elsewhere', began: '' }));
  expect(() => lockFolder(path)).toThrow(`process ${process.pid} on elsewhere has it`);
  writeFileSync(join(path, 'owner.json'), '{}');
  expect(() => lockFolder(path)).toThrow('not the lock of a fleet');
  expect(readFileSync(join(path, 'owner.json'), 'utf8')).toBe('{}');
});

test('a folder is taken over from processes that ended while they took it over', () => {
  const path = folder();
  const ended = (name: string, id: string) =>
    writeFileSync(join(path, name), JSON.stringify({ id, host: hostname(), pid: process.pid, began: '' }));
  const [first, second, third] = [randomUUID(), randomUUID(), randomUUID()];
  ended('owner.json', first);
  ended(`${first}.stale`, second);
  ended(`${second}.stale`, third);
  const unlock = lockFolder(path);
  expect(readdirSync(path)).toEqual(['owner.json']);
  unlock();

  // One that lives, and is about to take it over, has it.
  ended('owner.json', first);
  copyOfOwn(path, `${first}.stale`);
  expect(() => lockFolder(path)).toThrow(`process ${process.pid} has it`);
});

/** The lock of this process, at `name`. */
function copyOfOwn(path: string, name: string): void {
  const other = folder();
  lockFolder(other);
  renameSync(join(other, 'owner.json'), join(path, name));
}

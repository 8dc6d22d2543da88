import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { infoTlbLine } from '../../info-tlb.ts';
import { DUMP_LIMITS } from '../../limits.ts';
import { resolveKernelRoot } from '../../root/resolve-kernel-root.ts';
import { fixturePath, inflatedFixture } from '../../testing/fixtures.ts';
import { walkSlowly } from '../../testing/walk-slowly.ts';
import { openVmcore } from '../open-vmcore.ts';
import { shownWebAddress } from './web-address.ts';
import { webSource } from './web-source.ts';

/**
 * Serves the files of a folder, in a process of its own, since reading is waited for. The first part of a path says how it misbehaves: what it does from the
 * second request on, unless it is `no-ranges` or a status. `/log` tells the ranges that were asked for since it was asked for the last time.
 */
const SERVER = `
const { readFileSync, readdirSync } = require('node:fs');
const folder = process.argv[1];
let ranges = [], count = 0;
const files = new Map(readdirSync(folder).map((name) => [name, readFileSync(folder + '/' + name)]));
const server = require('node:http').createServer((request, answer) => {
  const [, how, name] = request.url.split('?')[0].split('/');
  if (how === 'log') { answer.end(JSON.stringify(ranges)); ranges = []; count = 0; return; }
  const asked = request.headers.range; 
  ranges.push(asked); count++;
  const status = Number(how);
  if (status > 0) { answer.writeHead(status); answer.end('no'); return; }
  if (how === 'password' && request.headers.authorization !== 'Basic ' + Buffer.from('me:s%cret').toString('base64')) { answer.writeHead(401); answer.end(); return; }
  if (how === 'redirect') { answer.writeHead(302, { location: '/plain/' + name }); answer.end(); return; }
  const file = files.get(name);
  if (file === undefined) { answer.writeHead(404); answer.end(); return; }
  if (how === 'no-ranges') { answer.end(file); return; }
  const [, from, to] = /^bytes=(\\d+)-(\\d+)$/.exec(asked);
  const start = Number(from), end = Math.min(Number(to) + 1, file.length);
  if (start >= file.length) { answer.writeHead(416, { 'content-range': 'bytes */' + file.length }); answer.end(); return; }
  const later = count > 1;
  const head = { etag: how === 'changed' && later ? '"b"' : '"a"', 'content-range': 'bytes ' + start + '-' + (end - 1) + '/' + file.length };
  let bytes = file.subarray(start, end);
  if (how === 'unversioned') delete head.etag;
  if (how === 'other-range') head['content-range'] = 'bytes 1-' + (end - 1) + '/' + file.length;
  if (how === 'no-size') head['content-range'] = 'bytes ' + start + '-' + (end - 1) + '/*';
  if (how === 'packed') head['content-encoding'] = 'gzip';
  if (how === 'short' && later) bytes = bytes.subarray(0, -7);
  if (how === 'long') bytes = Buffer.concat([bytes, Buffer.alloc(50000, 1)]);
  if (how === 'dropped' && later) head['content-length'] = bytes.length;
  if (how === 'gone' && later) { answer.writeHead(404); answer.end(); return; }
  answer.writeHead(206, head);
  if (how === 'dropped' && later) { answer.write(bytes.subarray(0, 1000)); setTimeout(() => request.socket.destroy(), 20); return; }
  answer.end(bytes);
});
server.keepAliveTimeout = 0;
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
`;

const FIXTURE = 'k61-256-nokaslr';
const folder = mkdtempSync(join(tmpdir(), 'heki-web-'));
/** Spread over 40 MB, as the table pages of a whole dump are. */
const words = new Uint32Array(10_000_000);
for (let index = 0; index < words.length; index++) words[index] = index;
const large = Buffer.from(words.buffer);
let server: ChildProcess;
let origin = '';

beforeAll(async () => {
  writeFileSync(join(folder, 'dump.elf'), inflatedFixture(`${FIXTURE}.elf.gz`));
  writeFileSync(join(folder, 'dump.elf.gz'), readFileSync(fixturePath(`${FIXTURE}.elf.gz`)));
  writeFileSync(join(folder, 'stored.elf.gz'), gzipSync(inflatedFixture(`${FIXTURE}.elf.gz`), { level: 0 }));
  writeFileSync(join(folder, 'large'), large);
  writeFileSync(join(folder, 'empty'), '');
  server = spawn(process.execPath, ['-e', SERVER, folder], { stdio: ['ignore', 'pipe', 'inherit'] });
  const port = await new Promise<string>((resolve) =>
    server.stdout?.once('data', (data) => resolve(String(data).trim())),
  );
  origin = `http://127.0.0.1:${port}`;
});
afterAll(() => {
  server.kill();
  rmSync(folder, { recursive: true });
});

/** Ranges as the server was asked for them. */
async function askedFor(): Promise<string[]> {
  return (await (await fetch(`${origin}/log`)).json()) as string[];
}

function read(path: string, offset: number, length: number): Buffer {
  const source = webSource(`${origin}${path}`);
  try {
    const target = Buffer.alloc(length);
    source.read(offset, target);
    return target;
  } finally {
    source.close();
  }
}

describe('a dump on a web server', () => {
  it.each(['plain/dump.elf', 'redirect/dump.elf.gz'])('(%s) is walked as the file itself', (path) => {
    const core = openVmcore(`${origin}/${path}`);
    const { root, levels } = resolveKernelRoot(core);
    const lines = walkSlowly(core.memory, root, levels).map(infoTlbLine);
    expect(`${lines.join('\n')}\n`).toBe(inflatedFixture(`${FIXTURE}.info-tlb.txt.gz`).toString());
    core.close();
  });

  it.each([
    ['dump.elf', ['unversioned']],
    ['stored.elf.gz', ['unversioned']],
    // It came at once.
    ['dump.elf.gz', []],
  ])('(%s) is said to be able to change unseen where the server tells no version of it', (name, told) => {
    const warnings = (how: string) => openVmcore(`${origin}/${how}/${name}`).warnings.map(({ id }) => id);
    expect(warnings('plain')).toEqual([]);
    expect(warnings('unversioned')).toEqual(told);
  });

  it('is asked for no more than was wanted, whatever the server sends', () => {
    expect(read('/long/large', 131_000, 200).equals(large.subarray(131_000, 131_200))).toBe(true);
  });

  it('comes in parts: what is read, and each part once as long as it is kept', async () => {
    await askedFor();
    const source = webSource(`${origin}/plain/large`);
    const at = (offset: number) => {
      const target = Buffer.alloc(4096);
      source.read(offset, target);
      expect(target.equals(large.subarray(offset, offset + 4096))).toBe(true);
    };
    for (const offset of [
      20_000_000,
      30_000_000,
      131_070 + 262_144,
      20_000_000,
      20_000_100,
      large.length - 4096,
      30_000_000,
    ])
      at(offset);
    const ranges = await askedFor();
    expect(ranges.length).toBe(5);
    expect(ranges[0]).toBe('bytes=0-131071');
    const whole = Buffer.alloc(large.length);
    source.read(0, whole);
    expect(whole.equals(large)).toBe(true);
    // Who reads on gets more at once.
    expect((await askedFor()).length).toBeLessThan(20);
    // Of 40 MB, 32 MiB are kept: the first are no longer there.
    expect(DUMP_LIMITS.webCacheBytes).toBeLessThan(large.length);
    at(262_144);
    expect((await askedFor()).length).toBe(1);
    expect(() => source.read(large.length - 1, new Uint8Array(2))).toThrow('truncated');
    source.close();
    expect(() => source.read(0, new Uint8Array(1))).toThrow('is closed');
  });

  it.each([
    ['/404/x', 'the server answers 404, there is no such file'],
    ['/403/x', 'the server answers 403, it is not allowed, or a signed address has run out'],
    ['/500/x', 'the server answers 500'],
    ['/password/large', 'the server answers 401, it wants a user and a password'],
    ['/no-ranges/large', 'the server gives no parts of files (it ignores Range)'],
    ['/other-range/large', 'asked for bytes 0-131071, the server gives "bytes 1-131071/40000000"'],
    ['/no-size/large', 'the server gives "bytes 0-131071/*"'],
    ['/packed/large', 'the server packs what it sends, by "gzip"'],
  ])('(%s) that cannot be read in parts is refused', (path, why) => {
    expect(() => webSource(`${origin}${path}`)).toThrow(why);
  });

  it.each([
    ['/short/large', 'of 131072 bytes came, then nothing more'],
    ['/dropped/large', 'cannot be read: '],
    ['/changed/large', 'is no longer the file that it was when reading began'],
    ['/gone/large', 'the server answers 404'],
  ])('(%s) that fails later is an error at each read from then on, and never absent', async (path, why) => {
    await askedFor();
    const source = webSource(`${origin}${path}`);
    const target = new Uint8Array(10);
    source.read(5, target);
    for (const offset of [10_000_000, 10_000_000, 20_000_000])
      expect(() => source.read(offset, target)).toThrow(why);
    source.close();
  });

  it('is refused where no server is, and where nothing is in it', () => {
    expect(() => webSource('http://127.0.0.1:1/x')).toThrow('http://127.0.0.1:1/x cannot be read: ');
    expect(() => openVmcore(`${origin}/plain/empty`)).toThrow('the file is empty');
  });

  it('may want a user and a password, which are never told', () => {
    const address = origin.replace('//', '//me:s%25cret@');
    const source = webSource(`${address}/password/large`);
    expect(source.size).toBe(large.length);
    source.close();
    for (const path of ['/404/x', '/password/none?X-Amz-Signature=abc', '/no-ranges/large?sig=abc']) {
      let message = '';
      try {
        openVmcore(`${address}${path}`);
      } catch (error) {
        message = String(error);
      }
      expect(message).toContain(`${origin}${path.replace(/\?.*/, '?...')} `);
      expect(message).not.toMatch(/s%25cret|s%cret|me:|abc/);
    }
    for (const [address, shown] of [
      ['https://u:p@host/a/b.elf?x=1#f', 'https://host/a/b.elf?...'],
      ['https://u:p@host:8443/a@b,http://u:p@host/c?d', 'https://host:8443/a@b,http://host/c?...'],
      ['http://u:p@', 'http://'],
      ['https://u:%zz@h/x', 'https://h/x'],
    ] as const)
      expect(shownWebAddress(address)).toBe(shown);
    expect(() => webSource('https://u:p@:x/y')).toThrow(
      'https://:x/y is not the address of a file on the web',
    );
  });
});

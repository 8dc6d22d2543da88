import { type ChildProcess, spawn } from 'node:child_process';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { VmcoreError } from '../../error.ts';
import { s3Version } from './s3-version.ts';
import { webSource } from './web-source.ts';

const SECRET = 'never-to-be-told';
/** Of 300,000 bytes: more than is read at once. */
const SIZE = 300_000;

/** A store, in a process of its own, since reading is waited for. The key says how it misbehaves; `/log` tells what was asked for. */
const STORE = `
const bytes = Buffer.from(Uint32Array.from({ length: ${SIZE / 4} }, (_, index) => index).buffer);
let asked = [], count = 0;
const server = require('node:http').createServer((request, answer) => {
  const key = request.url.split('?')[0];
  if (key === '/log') { answer.end(JSON.stringify(asked)); asked = []; count = 0; return; }
  asked.push(key + ' ' + (request.headers.range ?? request.method)); count++;
  const fail = (status, code) => { answer.writeHead(status, { 'content-type': 'application/xml' }); answer.end(request.method === 'HEAD' ? '' : '<Error><Code>' + code + '</Code><Message>${SECRET}</Message></Error>'); };
  if (!/^AWS4-HMAC-SHA256 Credential=me\\//.test(request.headers.authorization ?? '')) return fail(403, 'AccessDenied');
  if (key === '/bucket/denied') return fail(403, 'AccessDenied');
  if (key === '/bucket/busy' || (key === '/bucket/slow' && count < 3)) return fail(503, 'SlowDown');
  if (!/^\\/bucket\\/(plain%25|slow|changed|short)$/.test(key)) return fail(404, 'NoSuchKey');
  const head = { etag: key === '/bucket/changed' && count > 1 ? '"b"' : '"a"', 'last-modified': 'Sun, 29 Nov 2026 12:00:00 GMT' };
  if (request.method === 'HEAD') { answer.writeHead(200, { ...head, 'content-length': bytes.length }); answer.end(); return; }
  const [, from, to] = /^bytes=(\\d+)-(\\d+)$/.exec(request.headers.range);
  const end = Math.min(Number(to) + 1, bytes.length);
  answer.writeHead(206, { ...head, 'content-range': 'bytes ' + from + '-' + (end - 1) + '/' + bytes.length, 'content-length': end - from });
  if (key === '/bucket/short' && count > 1) { answer.write(bytes.subarray(from, Number(from) + 10)); setTimeout(() => request.socket.destroy(), 20); return; }
  answer.end(bytes.subarray(from, end));
});
server.keepAliveTimeout = 0;
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
`;

let store: ChildProcess;
let origin = '';
beforeAll(async () => {
  store = spawn(process.execPath, ['-e', STORE], { stdio: ['ignore', 'pipe', 'inherit'] });
  const port = await new Promise((resolve) => store.stdout?.once('data', resolve));
  origin = `http://127.0.0.1:${String(port).trim()}`;
  vi.stubEnv('AWS_ENDPOINT_URL', origin);
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'me');
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', SECRET);
});
afterAll(() => {
  vi.unstubAllEnvs();
  store.kill();
});

const asked = async (): Promise<unknown> => (await fetch(`${origin}/log`)).json();

/** What reading at the end says; the beginning was read before. */
function errorAt(key: string): unknown {
  try {
    webSource(`s3://bucket/${key}`).read(SIZE - 4, new Uint8Array(4));
  } catch (error) {
    return error;
  }
  return undefined;
}

it('an object comes in parts, and only those that are read, by its key as it is', async () => {
  await asked();
  const source = webSource('s3://bucket/plain%');
  const last = Buffer.alloc(4);
  source.read(SIZE - 4, last);
  source.close();
  expect([source.size, last.readUInt32LE()]).toEqual([SIZE, SIZE / 4 - 1]);
  expect(await asked()).toEqual(['/bucket/plain%25 bytes=0-131071', '/bucket/plain%25 bytes=262144-299999']);
  expect(await s3Version('s3://bucket/plain%')).toBe(`"a" 2026-11-29T12:00:00.000Z ${SIZE}`);
});

it('a store that is busy for a moment is asked again', async () => {
  await asked();
  const source = webSource('s3://bucket/slow');
  expect(source.size).toBe(SIZE);
  source.close();
});

it.each([
  ['none', 'the server answers 404 (NoSuchKey), there is no such file'],
  ['denied', 'the server answers 403 (AccessDenied), it is not allowed'],
  ['busy', 'the server answers 503 (SlowDown), the server is busy'],
  ['short', 'cannot be read: '],
  ['changed', 'is no longer the file that it was when reading began'],
])('an object that is %s is told of, says nothing of what is in it, and no secret', async (key, why) => {
  await asked();
  const error = errorAt(key);
  expect(error).toBeInstanceOf(VmcoreError);
  expect(error).toMatchObject({ unread: true });
  expect(String(error)).toContain(why);
  expect(String(error)).not.toContain(SECRET);
});

it('the version of what is not there, or may not be read, is an error', async () => {
  await expect(s3Version('s3://bucket/none')).rejects.toThrow('s3://bucket/none cannot be read: ');
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'other');
  await expect(s3Version('s3://bucket/plain%')).rejects.toThrow('the server answers 403');
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'me');
});

it.each([
  's3://me:secret@bucket/key',
  's3://bucket',
  's3://bucket/',
  's3://B/k',
  's3://bucket/k?versionId=secret',
])('%s is no address of an object, and is not repeated', (address) => {
  expect(() => webSource(address)).toThrow('is not the address of an object: expected s3://BUCKET/KEY');
  expect(() => webSource(address)).not.toThrow('secret');
});

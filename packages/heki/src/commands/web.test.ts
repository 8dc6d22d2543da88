import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { projectFile, runCommand } from '../testing/run-command.ts';

/** Serves what comes through its standard input, by ranges, to whoever knows the password; every other path is not there. */
const SERVER = `
const file = require('node:fs').readFileSync(0);
const server = require('node:http').createServer((request, answer) => {
  const allowed = request.headers.authorization === 'Basic ' + Buffer.from('me:secret').toString('base64');
  if (!allowed || request.url !== '/dump.elf?sig=signature') { answer.writeHead(allowed ? 404 : 401); answer.end(); return; }
  const [, from, to] = /^bytes=(\\d+)-(\\d+)$/.exec(request.headers.range);
  const end = Math.min(Number(to) + 1, file.length);
  answer.writeHead(206, { 'content-range': 'bytes ' + from + '-' + (end - 1) + '/' + file.length });
  answer.end(file.subarray(Number(from), end));
});
server.keepAliveTimeout = 0;
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
`;

const dump = projectFile('fixtures/k61-256-nokaslr.elf.gz');
let server: ChildProcess;
let host = '';

beforeAll(async () => {
  server = spawn(process.execPath, ['-e', SERVER], { stdio: ['pipe', 'pipe', 'inherit'] });
  server.stdin?.end(gunzipSync(readFileSync(dump)));
  const port = await new Promise<string>((resolve) =>
    server.stdout?.once('data', (data) => resolve(String(data).trim())),
  );
  host = `127.0.0.1:${port}`;
});
afterAll(() => void server.kill());

describe('a snapshot on a web server', () => {
  it('is walked as the file, and its credentials are nowhere in what is printed', async () => {
    const [web, file] = await Promise.all(
      [`http://me:secret@${host}/dump.elf?sig=signature`, dump].map((path) =>
        runCommand(['walk', path, '--format', 'info-tlb']),
      ),
    );
    expect(web?.exitCode).toBe(0);
    expect(web?.stdout).toBe(file?.stdout);
    const json = await runCommand([
      'walk',
      `http://me:secret@${host}/dump.elf?sig=signature`,
      '--format',
      'json',
    ]);
    expect(json.stdout).not.toMatch(/me:|secret|signature/);
  });

  it('that cannot be read is named without them', async () => {
    for (const [address, shown, why] of [
      [
        `http://me:secret@${host}/none?sig=signature`,
        `http://${host}/none?...`,
        '404, there is no such file',
      ],
      [
        `http://you:secret@${host}/dump.elf`,
        `http://${host}/dump.elf`,
        '401, it wants a user and a password',
      ],
      ['http://me:secret@:1/', 'http://:1/', 'not the address of a file on the web'],
    ] as const) {
      for (const options of [[], ['--json']]) {
        const { exitCode, stdout, stderr } = await runCommand(['audit', address, ...options]);
        expect(exitCode).toBe(3);
        expect(stdout + stderr).toContain(shown);
        expect(stdout + stderr).toContain(why);
        expect(stdout + stderr).not.toMatch(/me:|you:|secret|signature/);
      }
    }
    const wrong = await runCommand([
      'walk',
      `http://me:secret@${host}/dump.elf`,
      `http://me:secret@${host}/more`,
    ]);
    expect(wrong.exitCode).toBe(2);
    expect(wrong.stderr).not.toContain('secret');
  });
});

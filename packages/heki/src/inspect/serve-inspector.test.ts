import { request } from 'node:http';
import { bytesSource } from '@heki/vmcore';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { type InspectorServer, serveInspector } from './serve-inspector.ts';

const FILES = new Map([
  ['index.html', Buffer.from('<h1>page</h1>')],
  ['app.js', Buffer.from('1')],
  ['source.json', Buffer.from('"the kernel that comes with heki"')],
]);
const BYTES = Uint8Array.from({ length: 1000 }, (_, at) => at % 251);
const SOURCE = {
  served: { name: 'guest.elf', parts: [{ url: 'source/0', size: BYTES.length }], sidecar: null },
  parts: [bytesSource(BYTES)],
};

let server: InspectorServer | undefined;
afterEach(() => server?.close());

async function serve(source?: typeof SOURCE): Promise<InspectorServer> {
  server = await serveInspector(FILES, source);
  return server;
}

/** The status of an answer that `fetch` would not let be asked for. */
function statusOf(url: string, headers: Record<string, string>): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    request(url, { headers }, (response) => {
      response.resume();
      resolve(response.statusCode);
    })
      .on('error', reject)
      .end();
  });
}

describe('the server of the inspector', () => {
  test('listens on the loopback alone, at an address that nobody can guess', async () => {
    const [first, second] = [await serve(), await serveInspector(FILES, undefined)];
    second.close();
    expect(first.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/[0-9a-f]{32}\/$/);
    expect(first.url).not.toBe(second.url);
  });

  test('gives nothing to who does not know the token, comes by another name, or wants to change something', async () => {
    const { url } = await serve(SOURCE);
    const { origin } = new URL(url);
    for (const path of [
      '/',
      '/index.html',
      '/source/0',
      `/${'0'.repeat(32)}/`,
      url.slice(origin.length, -1),
    ]) {
      expect((await fetch(origin + path)).status, path).toBe(404);
    }
    expect(await statusOf(url, { Host: 'attacker.example' })).toBe(403);
    expect(await statusOf(url, {})).toBe(200);
    expect((await fetch(url, { method: 'POST', body: 'x' })).status).toBe(405);
  });

  test('gives the page with a policy that lets nothing else in, and no file that is not of the page', async () => {
    const { url } = await serve();
    const page = await fetch(url);
    expect(await page.text()).toBe('<h1>page</h1>');
    expect(page.headers.get('content-type')).toBe('text/html; charset=utf-8');
    expect(page.headers.get('content-security-policy')).toMatch(
      /^default-src 'none'; script-src 'self' 'wasm/,
    );
    expect((await fetch(`${url}app.js`)).headers.get('content-type')).toBe('text/javascript; charset=utf-8');
    for (const path of ['../package.json', '..%2fpackage.json', 'app.js/', 'source/0', '%2e%2e/']) {
      expect((await fetch(url + path)).status, path).toBe(404);
    }
    expect(await (await fetch(`${url}source.json`)).json()).toBe('the kernel that comes with heki');
  });

  test('gives the bytes of a dump that are asked for, and no others', async () => {
    const { url } = await serve(SOURCE);
    expect(await (await fetch(`${url}source.json`)).json()).toEqual(SOURCE.served);
    const ask = (range: string) => fetch(`${url}source/0`, { headers: { Range: range } });
    const part = await ask('bytes=10-19');
    expect([part.status, part.headers.get('content-range')]).toEqual([206, 'bytes 10-19/1000']);
    expect(new Uint8Array(await part.arrayBuffer())).toEqual(BYTES.slice(10, 20));
    expect(new Uint8Array(await (await ask('bytes=990-2000')).arrayBuffer())).toEqual(BYTES.slice(990));
    expect((await ask('bytes=1000-1001')).status).toBe(416);
    expect((await ask('bytes=20-10')).status).toBe(416);
    expect((await fetch(`${url}source/1`)).status).toBe(404);
  });

  test('ends when its last page is gone, and waits for one that is being loaded again, however slowly', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    try {
      const { url, closed } = await serve();
      let ended = false;
      void closed.then(() => {
        ended = true;
      });
      const page = request(`${url}alive`).end();
      page.on('error', () => {});
      await new Promise((resolve) => page.on('response', resolve));
      page.destroy();
      await vi.waitUntil(() => vi.getTimerCount() === 1);
      await vi.advanceTimersByTimeAsync(1500);
      expect(await statusOf(`${url}index.html`, {})).toBe(200);
      await vi.advanceTimersByTimeAsync(20_000);
      expect(ended).toBe(false);
      await vi.advanceTimersByTimeAsync(10_000);
      expect(ended).toBe(true);
    } finally {
      vi.useRealTimers();
    }
  });
});

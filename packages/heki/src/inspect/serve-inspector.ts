import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { ServedStory } from '@heki/inspector';
import type { ByteSource } from '@heki/vmcore';
import { OutputError } from '../failure.ts';
import { fileErrorText } from '../file-error.ts';
import type { InspectedSource } from './inspected-source.ts';

/** How long after its last page was closed the server waits for another: a page that is loaded anew closes first. */
const GRACE_MS = 2000;

/** How long a page may take from a request to the line by which it says that it is there. */
const LOADING_MS = 30_000;

/** Most bytes of a dump in one answer. */
const MOST_BYTES = 2 ** 24;

const TYPES: Readonly<Record<string, string>> = {
  html: 'text/html; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  css: 'text/css; charset=utf-8',
  json: 'application/json; charset=utf-8',
  wasm: 'application/wasm',
};

/** Nothing but what comes from here, and in no frame of another's page. */
const HEADERS = {
  'Content-Security-Policy':
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src data:; connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Cache-Control': 'no-store',
};

/** A server that runs. */
export interface InspectorServer {
  /** With the token: whoever does not know it gets nothing. */
  readonly url: string;
  readonly port: number;
  /** Resolves when the last page was closed. */
  readonly closed: Promise<void>;
  close(): void;
}

/**
 * Serves the inspector to this machine alone.
 *
 * @param files of the page, by their names
 * @param source what the page opens; `undefined` for the kernel that is among the files
 * @param story where in the page `#story` leads
 * @throws {OutputError} when there is no port to be had
 */
export async function serveInspector(
  files: ReadonlyMap<string, Uint8Array>,
  source: InspectedSource | undefined,
  story?: string,
): Promise<InspectorServer> {
  const token = randomBytes(16).toString('hex');
  let host = '';
  const pages = new Set<ServerResponse>();
  let leave = (): void => {};
  const closed = new Promise<void>((resolve) => {
    leave = resolve;
  });
  let waiting: NodeJS.Timeout | undefined;

  const keepAlive = (response: ServerResponse): void => {
    clearTimeout(waiting);
    pages.add(response);
    response.writeHead(200, { ...HEADERS, 'Content-Type': 'text/event-stream' }).write(': here\n\n');
    response.on('close', () => {
      pages.delete(response);
      if (pages.size === 0) waiting = setTimeout(leave, GRACE_MS);
    });
  };

  /** Who asks for anything while the last page is gone is a page that is being loaded again, however slowly. */
  const waitForPage = (): void => {
    if (waiting === undefined || pages.size > 0) return;
    clearTimeout(waiting);
    waiting = setTimeout(leave, LOADING_MS);
  };

  const server = createServer((request, response) => {
    // A name that leads here is not this server's: by it another's page could ask (DNS rebinding).
    if (request.headers.host !== host || request.method !== 'GET') {
      refuse(response, request.method === 'GET' ? 403 : 405);
      return;
    }
    const path = request.url?.split('?', 1)[0] ?? '';
    if (!path.startsWith(`/${token}/`)) {
      refuse(response, 404);
      return;
    }
    const name = path.slice(token.length + 2);
    waitForPage();
    const part = source === undefined ? undefined : /^source\/(\d+)$/.exec(name)?.[1];
    if (name === 'alive') keepAlive(response);
    else if (part !== undefined) sendPart(request, response, source?.parts[Number(part)]);
    else if (name === 'source.json' && source !== undefined) {
      send(response, name, Buffer.from(JSON.stringify(source.served)));
    } else if (name === 'story.json' && story !== undefined) {
      send(response, name, Buffer.from(JSON.stringify({ place: story } satisfies ServedStory)));
    } else send(response, name, files.get(name === '' ? 'index.html' : name));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) =>
      reject(new OutputError(`no port to listen at: ${fileErrorText(error) ?? error.message}`, {}, error)),
    );
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new OutputError('no port to listen at');
  host = `127.0.0.1:${address.port}`;
  return {
    url: `http://${host}/${token}/`,
    port: address.port,
    closed,
    close() {
      clearTimeout(waiting);
      server.close();
      server.closeAllConnections();
    },
  };
}

function refuse(response: ServerResponse, status: number): void {
  response.writeHead(status, HEADERS).end();
}

function send(response: ServerResponse, name: string, bytes: Uint8Array | undefined): void {
  if (bytes === undefined) {
    refuse(response, 404);
    return;
  }
  const type = TYPES[name === '' ? 'html' : (name.split('.').at(-1) ?? '')];
  response
    .writeHead(200, {
      ...HEADERS,
      'Content-Type': type ?? 'application/octet-stream',
      'Content-Length': bytes.length,
    })
    .end(bytes);
}

/** Sends the bytes of a dump that are asked for: never all of a large one. */
function sendPart(request: IncomingMessage, response: ServerResponse, source: ByteSource | undefined): void {
  if (source === undefined) {
    refuse(response, 404);
    return;
  }
  const [, first, end] = /^bytes=(\d{1,16})-(\d{1,16})$/.exec(request.headers.range ?? '') ?? [];
  const from = Number(first ?? 0);
  const to = Math.min(end === undefined ? source.size : Number(end) + 1, source.size);
  if (from >= to || to - from > MOST_BYTES) {
    response.writeHead(416, { ...HEADERS, 'Content-Range': `bytes */${source.size}` }).end();
    return;
  }
  const bytes = new Uint8Array(to - from);
  try {
    source.read(from, bytes);
  } catch {
    refuse(response, 500);
    return;
  }
  const headers = { ...HEADERS, 'Content-Type': 'application/octet-stream', 'Content-Length': bytes.length };
  const isPart = first !== undefined;
  response
    .writeHead(
      isPart ? 206 : 200,
      isPart ? { ...headers, 'Content-Range': `bytes ${from}-${to - 1}/${source.size}` } : headers,
    )
    .end(bytes);
}

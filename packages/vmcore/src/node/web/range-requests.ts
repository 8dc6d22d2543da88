import { VmcoreError } from '../../error.ts';
import { DUMP_LIMITS } from '../../limits.ts';
import { type SyncWorker, startSyncWorker } from '../sync-worker.ts';
import { NO_CREDENTIALS, s3ClientFile, s3Config } from './s3-client.ts';
import type { WebAddress } from './web-address.ts';

/** A part of a file on the web, as a server gives it (RFC 9110, section 14). */
interface FilePart {
  /** Of the whole file, in bytes. */
  readonly size: number;
  /** What changes when the file does, as far as the server tells. */
  readonly version: string;
  readonly bytes: Uint8Array;
}

/** Asks a web server for parts of a file. */
export interface RangeRequests {
  /**
   * The bytes from `offset` on, `length` of them or up to the file's end.
   *
   * @throws {VmcoreError} when the server gives anything else
   */
  part(offset: number, length: number): FilePart;
  close(): void;
}

/** Asks for one range after the other, by `get`. Of an answer it takes no more than was asked for, whatever the server sends. */
const REQUESTS = `
async function ask({ offset, length }) {
  const { body, ...head } = await get(offset, 'bytes=' + offset + '-' + (offset + length - 1));
  tell(head);
  if (head.status !== 206) await body?.cancel?.();
  else {
    let left = length;
    for await (const value of body) {
      // A copy: what a Buffer gives is a part of what others have, too.
      const bytes = Uint8Array.prototype.slice.call(value, 0, left);
      left -= bytes.length;
      tell({ bytes }, [bytes.buffer]);
      if (left === 0) break;
    }
  }
  tell({ end: true });
}
port.on('message', (range) => {
  if (range === null) { port.close(); process.exit(); }
  ask(range).catch((error) => tell({ failed: why(error) }));
});
`;

const WEB_REQUESTS = `
const why = (error) => error.cause?.message || error.cause?.code || error.message;
async function get(offset, range) {
  const headers = { ...input.headers, range, 'accept-encoding': 'identity' };
  // A server may end a connection that was idle just when it is used again: such a failure says nothing of the next one.
  const answer = await fetch(input.url, { headers }).catch(() => fetch(input.url, { headers }));
  const header = (name) => answer.headers.get(name) ?? undefined;
  return { status: answer.status, range: header('content-range'), encoding: header('content-encoding'), tag: header('etag'), modified: header('last-modified'), body: answer.body };
}
${REQUESTS}`;

/** Of its errors only names are told: what a command for credentials, or a server, says may have parts of them. */
const S3_REQUESTS = `
const why = (error) => error.name === 'CredentialsProviderError' ? input.noCredentials : (error.code ?? error.name);
const { S3Client, GetObjectCommand } = require(input.client);
const client = new S3Client(input.config);
async function get(offset, range) {
  try {
    const answer = await client.send(new GetObjectCommand({ ...input.object, Range: range }));
    return { status: answer.$metadata.httpStatusCode, range: answer.ContentRange, tag: answer.ETag, modified: answer.LastModified?.toISOString(), body: answer.Body };
  } catch (error) {
    const status = error.$metadata?.httpStatusCode;
    if (status === undefined) throw error;
    return { status, code: error.name, range: status === 416 && offset === 0 ? 'bytes */0' : undefined };
  }
}
${REQUESTS}`;

/** What the worker tells: of each answer its head, its bytes and its end. */
interface Told {
  readonly status?: number;
  /** What an object store calls it. */
  readonly code?: string | undefined;
  readonly range?: string | undefined;
  readonly encoding?: string | undefined;
  readonly tag?: string | undefined;
  readonly modified?: string | undefined;
  readonly bytes?: Uint8Array;
  readonly end?: true;
  readonly failed?: string;
}

const OK = 200;
const PARTIAL_CONTENT = 206;
const RANGE_NOT_SATISFIABLE = 416;

/** Of a status, what it means for someone who wants to read a dump. */
const STATUS: Readonly<Record<number, string>> = {
  401: 'it wants a user and a password',
  403: 'it is not allowed, or a signed address has run out',
  404: 'there is no such file',
  410: 'the file is gone',
  429: 'too many requests: try again later',
  503: 'the server is busy: try again later',
};

/** What an answer means for someone who wants to read. @param code what an object store calls it */
export function answerText(status: number, code?: string): string {
  const name = code !== undefined && /^[A-Za-z]{1,60}$/.test(code) ? ` (${code})` : '';
  const meaning = STATUS[status];
  return `the server answers ${status}${name}${meaning === undefined ? '' : `, ${meaning}`}`;
}

function startRequests({ url, authorization, object, shown }: WebAddress): SyncWorker<Told> {
  const silence = DUMP_LIMITS.webSilence;
  if (object !== undefined) {
    const input = { object, client: s3ClientFile(shown), config: s3Config(), noCredentials: NO_CREDENTIALS };
    return startSyncWorker(S3_REQUESTS, input, shown, silence);
  }
  const headers = authorization === undefined ? {} : { authorization };
  return startSyncWorker(WEB_REQUESTS, { url, headers }, shown, silence);
}

/** Requests for parts of the file at `address`, each waited for. */
export function requestRanges(address: WebAddress): RangeRequests {
  const { shown } = address;
  const worker = startRequests(address);
  let broken: VmcoreError | undefined;

  function next(deadline: number): Told {
    const told = worker.next(deadline);
    if (told.failed !== undefined)
      throw new VmcoreError(`${shown} cannot be read: ${told.failed}`, { unread: true });
    return told;
  }

  function ask(offset: number, length: number): FilePart {
    const deadline = performance.now() + DUMP_LIMITS.webAnswer;
    worker.post({ offset, length });
    const head = next(deadline);
    const refused = (why: string) =>
      new VmcoreError(`${shown} cannot be read: ${why}`, { offset, unread: true });
    const { status = 0, range = '' } = head;
    if (status === RANGE_NOT_SATISFIABLE && /^bytes \*\/0$/.test(range)) {
      next(deadline);
      return { size: 0, version: '', bytes: new Uint8Array() };
    }
    if (status === OK) {
      throw refused(
        'the server gives no parts of files (it ignores Range): load the file down, and read that',
      );
    }
    if (status !== PARTIAL_CONTENT) {
      throw refused(answerText(status, head.code));
    }
    if (head.encoding !== undefined && head.encoding !== 'identity') {
      throw refused(
        `the server packs what it sends, by ${JSON.stringify(head.encoding.slice(0, 60))}: parts of that are no parts of the file`,
      );
    }
    const [, start = '', last = '', of = ''] = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15})$/.exec(range) ?? [];
    const size = Number(of);
    const end = Math.min(offset + length, size);
    if (of === '' || Number(start) !== offset || Number(last) + 1 !== end) {
      const asked = `bytes ${offset}-${offset + length - 1}`;
      throw refused(`asked for ${asked}, the server gives ${JSON.stringify(range.slice(0, 60))}`);
    }
    const bytes = new Uint8Array(end - offset);
    let done = 0;
    for (let told = next(deadline); told.end === undefined; told = next(deadline)) {
      const { bytes: more = new Uint8Array() } = told;
      bytes.set(more.subarray(0, bytes.length - done), done);
      done += more.length;
    }
    if (done < bytes.length) throw refused(`${done} of ${bytes.length} bytes came, then nothing more`);
    return { size, version: `${head.tag ?? ''} ${head.modified ?? ''}`, bytes };
  }

  return {
    part(offset, length) {
      if (broken !== undefined) throw broken;
      try {
        return ask(offset, length);
      } catch (error) {
        // What comes later would be taken for the answer to another request.
        if (error instanceof VmcoreError) broken = error;
        worker.post(null);
        throw error;
      }
    },
    close: () => worker.post(null),
  };
}

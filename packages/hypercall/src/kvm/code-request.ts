import {
  addressOf,
  type Gfn,
  PAGE_SIZE,
  PHYSICAL_ADDRESS_END,
  type PhysicalMemory,
} from '@heki/physical-memory';
import {
  CODE_POKES_PER_PAGE,
  CODE_RECORDS_PER_PAGE,
  type CodeExtent,
  type CodeLoad,
  type CodePart,
  type CodePoke,
  CodeRecord,
  type CodeSeal,
  type CodeSiteState,
} from './code-request-layout.ts';
import { HypercallError } from './error.ts';
import { wordsToBigInt, wordsToNumber } from './page-list-layout.ts';

/** A request as its bytes say, or why they say nothing. */
export type CodeRequestResult<Request> =
  | { readonly ok: true; readonly request: Request }
  | {
      readonly ok: false;
      /** `absent`: no memory there; `too-much`: more than the bound; `malformed`: anything else. */
      readonly why: 'absent' | 'too-much' | 'malformed';
      readonly text: string;
    };

/** List pages of one request: 65,280 records. */
const MOST_PAGES = 256;
/** Frames that all extents of a request name: 512 MiB. */
const MOST_FRAMES = 2 ** 17;
const HEADER_WORDS = 4;

interface RawRecord {
  readonly kind: number;
  readonly value: number;
  readonly data: bigint;
}

const wrong = (why: 'absent' | 'too-much' | 'malformed', text: string) => ({ ok: false, why, text }) as const;

/** The words of a page, read once. */
function copyPage(memory: Pick<PhysicalMemory<Gfn>, 'page'>, address: bigint): Uint32Array | undefined {
  if (address >= BigInt(PHYSICAL_ADDRESS_END)) return undefined;
  const page = memory.page(Number(address / BigInt(PAGE_SIZE)) as Gfn);
  return page === undefined ? undefined : Uint32Array.from({ length: PAGE_SIZE / 4 }, (_, i) => page[i] ?? 0);
}

function readRecords(
  memory: Pick<PhysicalMemory<Gfn>, 'page'>,
  list: bigint,
): CodeRequestResult<RawRecord[]> {
  const records: RawRecord[] = [];
  let pages = 0;
  for (let next = list, first = true; first || next !== 0n; first = false) {
    if (next === 0n || next % BigInt(PAGE_SIZE) !== 0n) return wrong('malformed', `a page at ${next}`);
    if (pages++ === MOST_PAGES) return wrong('too-much', `more than ${MOST_PAGES} pages`);
    const words = copyPage(memory, next);
    if (words === undefined) return wrong('absent', `no memory at ${next}`);
    const count = words[2] ?? 0;
    if (count > CODE_RECORDS_PER_PAGE || words[3] !== 0)
      return wrong('malformed', `${count} records in a page`);
    for (let index = 0; index < count; index++) {
      const word = HEADER_WORDS + index * 4;
      records.push({
        kind: words[word] ?? 0,
        value: words[word + 1] ?? 0,
        data: wordsToBigInt(words, word + 2),
      });
    }
    next = wordsToBigInt(words, 0);
  }
  return { ok: true, request: records };
}

interface Gathered {
  file: { bytes: number; extents: CodeExtent[] } | undefined;
  readonly parts: { address: bigint; extents: CodeExtent[] }[];
  readonly states: CodeSiteState[];
}

/** Puts records together; what is wrong with them, if anything is. */
function gather(records: readonly RawRecord[], into: Gathered): ReturnType<typeof wrong> | undefined {
  let frames = 0;
  let extents: CodeExtent[] | undefined;
  let lastSite = -1;
  for (const [index, { kind, value, data }] of records.entries()) {
    const bad = (text: string) => wrong('malformed', `record ${index}: ${text}`);
    switch (kind) {
      case CodeRecord.FILE:
        if (index !== 0 || value !== 0) return bad('a file that is not the first');
        if (data > BigInt(MOST_FRAMES * PAGE_SIZE)) return wrong('too-much', `a file of ${data} bytes`);
        extents = [];
        into.file = { bytes: Number(data), extents };
        break;
      case CodeRecord.PART:
        if (value !== 0 || into.states.length > 0) return bad('a part that makes no sense');
        extents = [];
        into.parts.push({ address: data, extents });
        break;
      case CodeRecord.EXTENT:
        frames += value;
        if (frames > MOST_FRAMES) return wrong('too-much', `more than ${MOST_FRAMES} frames`);
        if (extents === undefined || value === 0) return bad('an extent of nothing');
        if (
          data % BigInt(PAGE_SIZE) !== 0n ||
          data + BigInt(value * PAGE_SIZE) > BigInt(PHYSICAL_ADDRESS_END)
        )
          return bad(`an extent at ${data}`);
        extents.push({ start: Number(data / BigInt(PAGE_SIZE)) as Gfn, frames: value });
        break;
      case CodeRecord.STATE:
        if (value <= lastSite || data === 0n || data >= 2n ** 32n)
          return bad(`site ${value} in state ${data}`);
        lastSite = value;
        extents = undefined;
        into.states.push({ site: value, state: Number(data) });
        break;
      default:
        return bad(`of kind ${kind}`);
    }
  }
  return undefined;
}

function decode(memory: Pick<PhysicalMemory<Gfn>, 'page'>, list: bigint): CodeRequestResult<Gathered> {
  const records = readRecords(memory, list);
  if (!records.ok) return records;
  const gathered: Gathered = { file: undefined, parts: [], states: [] };
  return gather(records.request, gathered) ?? { ok: true, request: gathered };
}

/** Reads what SEAL says from the list at `list`. Each page is read once; bounded in pages and frames. */
export function decodeCodeSeal(
  memory: Pick<PhysicalMemory<Gfn>, 'page'>,
  list: bigint,
): CodeRequestResult<CodeSeal> {
  const decoded = decode(memory, list);
  if (!decoded.ok) return decoded;
  return decoded.request.file === undefined ? decoded : wrong('malformed', 'a file');
}

/** Reads what LOAD says, as {@link decodeCodeSeal} does. */
export function decodeCodeLoad(
  memory: Pick<PhysicalMemory<Gfn>, 'page'>,
  list: bigint,
): CodeRequestResult<CodeLoad> {
  const decoded = decode(memory, list);
  if (!decoded.ok) return decoded;
  const { file, parts, states } = decoded.request;
  if (file === undefined) return wrong('malformed', 'no file');
  return { ok: true, request: { file, parts, states } };
}

/** Reads a page of pokes, once. */
export function decodeCodePokes(
  memory: Pick<PhysicalMemory<Gfn>, 'page'>,
  address: bigint,
): CodeRequestResult<CodePoke[]> {
  if (address === 0n || address % BigInt(PAGE_SIZE) !== 0n) return wrong('malformed', `a page at ${address}`);
  const words = copyPage(memory, address);
  if (words === undefined) return wrong('absent', `no memory at ${address}`);
  const count = words[2] ?? 0;
  if (wordsToNumber(words, 0) !== 0 || words[3] !== 0 || count === 0 || count > CODE_POKES_PER_PAGE)
    return wrong('malformed', `${count} pokes in a page`);
  const pokes = Array.from({ length: count }, (_, index) => {
    const word = HEADER_WORDS + index * 3;
    return { image: words[word] ?? 0, site: words[word + 1] ?? 0, state: words[word + 2] ?? 0 };
  });
  return { ok: true, request: pokes };
}

/** The pages of SEAL, to be stored in `frames`, in order. @throws {HypercallError} when these are too few */
export function encodeCodeSeal({ parts, states }: CodeSeal, frames: readonly Gfn[]): Uint8Array[] {
  const records = [...parts.flatMap(partRecords), ...states.map(stateRecord)];
  return encodeRecords(records, frames);
}

/** The pages of LOAD, to be stored in `frames`, in order. @throws {HypercallError} when these are too few */
export function encodeCodeLoad({ file, parts, states }: CodeLoad, frames: readonly Gfn[]): Uint8Array[] {
  const records = [
    { kind: CodeRecord.FILE, value: 0, data: BigInt(file.bytes) },
    ...file.extents.map(extentRecord),
    ...parts.flatMap(partRecords),
    ...states.map(stateRecord),
  ];
  return encodeRecords(records, frames);
}

/** A page of pokes. @throws {HypercallError} for more than it holds */
export function encodeCodePokes(pokes: readonly CodePoke[]): Uint8Array {
  if (pokes.length > CODE_POKES_PER_PAGE)
    throw new HypercallError(`${pokes.length} pokes: a page holds ${CODE_POKES_PER_PAGE}`);
  const words = new Uint32Array(PAGE_SIZE / 4);
  words[2] = pokes.length;
  for (const [index, { image, site, state }] of pokes.entries())
    words.set([image, site, state], HEADER_WORDS + index * 3);
  return bytesOf(words);
}

const extentRecord = ({ start, frames }: CodeExtent): RawRecord => ({
  kind: CodeRecord.EXTENT,
  value: frames,
  data: BigInt(addressOf(start)),
});

const stateRecord = ({ site, state }: CodeSiteState): RawRecord => ({
  kind: CodeRecord.STATE,
  value: site,
  data: BigInt(state),
});

function partRecords({ address, extents }: CodePart): RawRecord[] {
  return [{ kind: CodeRecord.PART, value: 0, data: address }, ...extents.map(extentRecord)];
}

function encodeRecords(records: readonly RawRecord[], frames: readonly Gfn[]): Uint8Array[] {
  const needed = codeRequestPages(records.length);
  if (frames.length < needed)
    throw new HypercallError(`${frames.length} frames for a request of ${needed} pages`);
  return Array.from({ length: needed }, (_, page) => {
    const own = records.slice(page * CODE_RECORDS_PER_PAGE, (page + 1) * CODE_RECORDS_PER_PAGE);
    const next = frames[page + 1];
    const words = new Uint32Array(PAGE_SIZE / 4);
    putU64(words, 0, next === undefined || page + 1 === needed ? 0n : BigInt(addressOf(next)));
    words[2] = own.length;
    for (const [index, { kind, value, data }] of own.entries()) {
      const word = HEADER_WORDS + index * 4;
      words.set([kind, value], word);
      putU64(words, word + 2, data);
    }
    return bytesOf(words);
  });
}

/** Pages that so many records take, at least one. */
function codeRequestPages(records: number): number {
  return Math.max(1, Math.ceil(records / CODE_RECORDS_PER_PAGE));
}

/** Pages that a request takes. */
export function pagesOfCodeRequest({ parts, states = [], file }: Partial<CodeSeal & CodeLoad>): number {
  const ofParts = (parts ?? []).reduce((sum, { extents }) => sum + 1 + extents.length, 0);
  return codeRequestPages(ofParts + states.length + (file === undefined ? 0 : 1 + file.extents.length));
}

function putU64(words: Uint32Array, word: number, value: bigint): void {
  words[word] = Number(value & 0xffff_ffffn);
  words[word + 1] = Number(value >> 32n);
}

/** Little-endian, as all that runs this model is. */
function bytesOf(words: Uint32Array): Uint8Array {
  return new Uint8Array(words.buffer);
}

/** Frames in a row, from a list of frames. */
export function codeExtents(frames: readonly Gfn[]): CodeExtent[] {
  const extents: { start: Gfn; frames: number }[] = [];
  for (const frame of frames) {
    const last = extents.at(-1);
    if (last !== undefined && last.start + last.frames === frame) last.frames++;
    else extents.push({ start: frame, frames: 1 });
  }
  return extents;
}

/** The frames of extents, in order. */
export function framesOfExtents(extents: readonly CodeExtent[]): Gfn[] {
  return extents.flatMap(({ start, frames }) =>
    Array.from({ length: frames }, (_, index) => (start + index) as Gfn),
  );
}

import type { Answer, InspectorModel, OpenedDump, ServedSource } from '@heki/inspector';
import { virtualAddress } from '@heki/physical-memory';
import { blobSource } from '@heki/vmcore';
import { expose } from 'comlink';
import { failureOfHeki, InputError, internalFailure } from '../../failure.ts';
import { INPUT_KINDS } from '../../input/input-kind.ts';
import { parseSidecar } from '../../sidecar.ts';
import { blobReader, servedSource } from './browser-source.ts';
import { type DumpSession, type DumpSurroundings, openDumpSession } from './dump-session.ts';
import { explorationOf } from './exploration.ts';
import { unpacked } from './unpack.ts';

/** Is put in place by the build. */
declare const HEKI_VERSION: string;

const TOOL = `heki ${HEKI_VERSION}`;

let session: DumpSession | undefined;
/** How many were opened. */
let openings = 0;

/** Opens a dump in place of that which is open: there is none until then, nor where it is no dump. */
async function openInstead(open: () => Promise<DumpSession>): Promise<OpenedDump> {
  session = undefined;
  openings += 1;
  const number = openings;
  const opened = await open();
  if (number !== openings) throw new InputError('another was opened meanwhile');
  session = opened;
  return opened.opened;
}

/** The answer that `give` has, or why there is none. */
async function answer<Value>(give: () => Value | Promise<Value>): Promise<Answer<Value>> {
  try {
    return { value: await give() };
  } catch (error) {
    const { kind, message } = failureOfHeki(error) ?? internalFailure(error);
    return { failure: { kind, message } };
  }
}

function current(): DumpSession {
  if (session === undefined) throw new InputError('no dump is open');
  return session;
}

/** Machines and hypervisors, which are loaded when the first is asked for. */
const machines = () =>
  import('./machine-session.ts').catch((cause: unknown) => {
    throw new InputError('machines could not be loaded: what the page came from does not answer', {}, cause);
  });

const addressOf = (address: string | null) =>
  address === null ? undefined : virtualAddress(BigInt(address));

const isJson = ({ name }: File): boolean => /\.json$/i.test(name);

/** What stands beside a dump. @throws {InputError} when it is damaged, or too large to be that */
function sidecarOf(name: string, text: string): DumpSurroundings['sidecar'] {
  if (text.length > INPUT_KINDS.sidecar.mostBytes) {
    throw new InputError(
      `expected ${INPUT_KINDS.sidecar.name}, at most ${INPUT_KINDS.sidecar.mostBytes} bytes`,
      {
        file: name,
      },
    );
  }
  return { parsed: parseSidecar(text, name, name), text };
}

async function openFiles(files: readonly File[]): Promise<DumpSession> {
  const [json, another] = files.filter(isJson);
  const dumps = files.filter((file) => !isJson(file));
  const [first] = dumps;
  if (first === undefined)
    throw new InputError("expected a dump of a guest's memory, and at most one JSON file that goes with it");
  if (another !== undefined)
    throw new InputError(
      `expected one JSON file that goes with the dump, found ${json?.name} and ${another.name}`,
    );
  const sources = [];
  for (const dump of dumps) sources.push(blobSource(await unpacked(dump, dump.name), blobReader()));
  const name = dumps.map((dump) => dump.name).join(',');
  const sidecar = json === undefined ? undefined : sidecarOf(json.name, await json.text());
  return openDumpSession(sources, { name, sidecar, tool: TOOL });
}

async function openServed({ name, parts, sidecar }: ServedSource, base: string): Promise<DumpSession> {
  const sources = [];
  for (const { url, size } of parts) {
    const address = new URL(url, base).href;
    const isPacked = /\.gz$/.test(url);
    sources.push(
      isPacked
        ? blobSource(await unpacked(await (await fetch(address)).blob(), name), blobReader())
        : servedSource(address, size),
    );
  }
  const beside = sidecar === null ? undefined : sidecarOf(sidecar.name, sidecar.text);
  return openDumpSession(sources, { name, sidecar: beside, tool: TOOL });
}

const model: InspectorModel = {
  openFiles: (files) => answer(() => openInstead(() => openFiles(files))),
  openServed: (source, base) => answer(() => openInstead(() => openServed(source, base))),
  walk: (query) => answer(() => current().walk(query)),
  audit: (edits) => answer(() => current().audit(edits)),
  virtualSide: (edits) => answer(() => current().virtualSide(edits)),
  bytes: (frame, address) => answer(() => current().bytes(frame, addressOf(address))),
  choices: () => answer(async () => (await machines()).choices()),
  timeline: (life) => answer(async () => (await machines()).timeline(life, session?.kernel)),
  moment: (query, since) => answer(async () => (await machines()).moment(query, since, session?.kernel)),
  frameAt: (query, frame) => answer(async () => (await machines()).frameAt(query, frame, session?.kernel)),
  bytesAt: (query, frame, address) =>
    answer(async () => (await machines()).bytesAt(query, frame, addressOf(address), session?.kernel)),
  walkAt: (query, walk) => answer(async () => (await machines()).walkAt(query, walk, session?.kernel)),
  exploration: (json) => answer(() => explorationOf(json)),
  attack: (name, machine) => answer(async () => (await machines()).attack(name, machine)),
};
expose(model);

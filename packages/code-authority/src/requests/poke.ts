import { PAGE_SIZE, type Pfn } from '@heki/physical-memory';
import { type Answer, granted, type Request, refused } from '../answer.ts';
import { pageBytes } from '../frames/pages.ts';
import { type Resolve, writeState } from '../images/build-image.ts';
import type { Site } from '../images/code-image.ts';
import { leadsTo, lockFault, SITE_BYTES, statesOf } from '../images/site-bytes.ts';
import { type AuthorityState, findExport, type LiveImage } from '../state.ts';

/** Most entries of one request: a list page of 12-byte entries. */
const MOST_POKES = 340;

/** A site, and the state that it shall have. Neither bytes nor addresses. */
export interface Poke {
  readonly image: number;
  /** Index into the image's sites. */
  readonly site: number;
  readonly state: number;
}

interface Planned {
  readonly live: LiveImage;
  readonly site: Site;
}

/** What a request is judged with: where nothing has to be made anew for each of its entries. */
interface Judged {
  /** The last state that this request gives a site. */
  readonly latest: Map<number, number>;
  /** Bytes that must stand at a site now. */
  readonly before: Uint8Array;
  /** Bytes that shall stand at each site, {@link SITE_BYTES} apart. */
  readonly after: Uint8Array;
  readonly resolve: Resolve;
  /** A page that is touched, made once. */
  readonly page: (frame: Pfn) => Uint8Array;
}

/** POKE: sites change their states, all of them or none, while no processor is in the guest. */
export function* poke(state: AuthorityState, entries: readonly Poke[]): Request {
  if (!state.sealed) return refused('wrong-time', 'the kernel is not sealed');
  if (entries.length === 0 || entries.length > MOST_POKES)
    return refused('malformed', `${entries.length} entries: expected 1 to ${MOST_POKES}`);
  const copy = entries.map((entry) => ({ ...entry }));
  yield 'copied';
  // Everything is judged where nothing changes any more: states, types, and what refers to what.
  return state.host.stopped(() => {
    const plan: Planned[] = [];
    const judged = judgedWith(state, copy.length);
    for (const [index, entry] of copy.entries()) {
      const planned = judge(state, entry, index, judged);
      if (!planned.ok) return planned;
      judged.latest.set(siteKey(entry), entry.state);
      plan.push(planned.value);
    }
    const done: string[] = [];
    for (const [index, { image, site, state: value }] of copy.entries()) {
      const planned = plan[index];
      if (planned === undefined) continue;
      write(planned, judged, index);
      planned.live.states[site] = value;
      done.push(`poke ${image} ${site} ${value}`);
    }
    state.chain.append(done.join('\n'));
    return granted();
  });
}

function judgedWith(state: AuthorityState, entries: number): Judged {
  const pages = new Map<Pfn, Uint8Array>();
  return {
    latest: new Map(),
    before: new Uint8Array(SITE_BYTES),
    after: new Uint8Array(entries * SITE_BYTES),
    resolve: (name) => findExport(state, name)?.address,
    page(frame) {
      const known = pages.get(frame) ?? pageBytes(state, frame);
      pages.set(frame, known);
      return known;
    },
  };
}

/** No image has as many sites (`MOST_SITES`). */
const SITES_END = 2 ** 20;

function siteKey({ image, site }: Poke): number {
  return image * SITES_END + site;
}

/** Whether a site may have a state, by the file that was signed and by what stands there now. */
function judge(state: AuthorityState, entry: Poke, index: number, judged: Judged): Answer<Planned> {
  const live = state.images.get(entry.image);
  if (live === undefined) return refused('no-such-image', `image ${entry.image}`);
  const { image, bases } = live;
  const site = image.sites[entry.site];
  const now = live.states[entry.site];
  if (site === undefined || now === undefined || now < 0)
    return refused('no-such-site', `site ${entry.site} of image ${entry.image}`);
  if (!Number.isInteger(entry.state) || entry.state < 0 || entry.state >= statesOf(site))
    return refused('no-such-state', `state ${entry.state}: expected 0 to ${statesOf(site) - 1}`);
  if (!state.defects['B-A7']) {
    if (!image.changeable.has(site.key))
      return refused('frozen', `the file does not say that ${site.key} may change`);
    const lock = lockFault(site, entry.state, state.host.processors);
    if (lock !== undefined) return refused('frozen', lock);
  }
  const { before, after, resolve } = judged;
  const earlier = judged.latest.get(siteKey(entry));
  const isThere =
    writeState(image, bases, entry.site, earlier ?? now, resolve, before, 0) &&
    writeState(image, bases, entry.site, entry.state, resolve, after, index * SITE_BYTES);
  if (!isThere)
    return refused('no-such-state', `state ${entry.state} leads to what no image exports, or out of reach`);
  if (!state.defects['B-A5']) {
    const target = leadsTo(site, entry.state);
    if (target !== undefined && typeof target !== 'string' && live.frames[target.part]?.length === 0)
      return refused('no-such-state', `state ${entry.state} leads to what was given back`);
    for (let byte = 0; byte < site.length; byte++) {
      const frame = frameAt(live, site, byte);
      const known = frame === undefined ? undefined : state.frames.of(frame);
      if (frame === undefined || known?.type !== 'text' || known.image !== live.id)
        return refused('no-such-site', 'its page holds something else');
      if (earlier === undefined && judged.page(frame)[(site.at.offset + byte) % PAGE_SIZE] !== before[byte])
        return refused('mismatch', `site ${entry.site} does not hold what its state says`);
    }
  }
  return granted({ live, site });
}

/** The frame that a byte of a site lies in. */
function frameAt({ frames, gone }: LiveImage, { at }: Site, byte: number): Pfn | undefined {
  return (gone.get(at.part) ?? frames[at.part])?.[Math.floor((at.offset + byte) / PAGE_SIZE)];
}

/** Writes the bytes of a site where they lie: in a page, or in two. */
function write({ live, site }: Planned, { after, page }: Judged, index: number): void {
  for (let byte = 0; byte < site.length; byte++) {
    const frame = frameAt(live, site, byte);
    if (frame !== undefined)
      page(frame)[(site.at.offset + byte) % PAGE_SIZE] = after[index * SITE_BYTES + byte] ?? 0;
  }
}

import { PAGE_SIZE, type Pfn } from '@heki/physical-memory';
import { type Answer, granted, type Request, refused } from '../answer.ts';
import { pageBytes } from '../frames/pages.ts';
import { stateBytes } from '../images/build-image.ts';
import type { Place } from '../images/code-image.ts';
import { statesOf } from '../images/site-bytes.ts';
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

interface Planned extends Poke {
  readonly live: LiveImage;
  readonly at: Place;
  readonly before: Uint8Array;
  readonly after: Uint8Array;
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
    /** The last state that this request gives a site, by image and site. */
    const latest = new Map<string, number>();
    for (const entry of copy) {
      const planned = judge(state, entry, latest);
      if (!planned.ok) return planned;
      latest.set(`${entry.image} ${entry.site}`, entry.state);
      plan.push(planned.value);
    }
    for (const { live, at, site, state: value, after } of plan) {
      write(state, live, at, after);
      live.states[site] = value;
    }
    state.chain.append(
      plan.map(({ live, site, state: value }) => `poke ${live.id} ${site} ${value}`).join('\n'),
    );
    return granted();
  });
}

/** Whether a site may have a state, by the file that was signed and by what stands there now. */
function judge(state: AuthorityState, entry: Poke, latest: ReadonlyMap<string, number>): Answer<Planned> {
  const live = state.images.get(entry.image);
  if (live === undefined) return refused('no-such-image', `image ${entry.image}`);
  const { image, bases } = live;
  const site = image.sites[entry.site];
  const now = live.states[entry.site];
  if (site === undefined || now === undefined || now < 0)
    return refused('no-such-site', `site ${entry.site} of image ${entry.image}`);
  if (!Number.isInteger(entry.state) || entry.state < 0 || entry.state >= statesOf(site))
    return refused('no-such-state', `state ${entry.state}: expected 0 to ${statesOf(site) - 1}`);
  if (!state.defects['B-A7'] && !image.changeable.has(site.key))
    return refused('frozen', `the file does not say that ${site.key} may change`);
  // LOCK gives way to DS only while no other processor can be in the middle of it.
  if (site.kind === 'lock' && entry.state === 1 && state.host.processors !== 1)
    return refused('frozen', `${state.host.processors} processors run: LOCK stays`);
  const resolve = (name: string): bigint | undefined => findExport(state, name)?.address;
  const earlier = latest.get(`${entry.image} ${entry.site}`);
  const current = earlier ?? now;
  const before = stateBytes(image, bases, entry.site, current, resolve);
  const after = stateBytes(image, bases, entry.site, entry.state, resolve);
  if (before === undefined || after === undefined)
    return refused('no-such-state', `state ${entry.state} leads to what no image exports, or out of reach`);
  const touched = framesAt(live, site.at, site.length);
  if (!state.defects['B-A5']) {
    for (const frame of touched) {
      const { type, image: owner } = state.frames.of(frame);
      if (type !== 'text' || owner !== live.id)
        return refused('no-such-site', 'its page holds something else');
    }
    const stands = read(state, live, site.at, site.length);
    if (earlier === undefined && before.some((byte, index) => byte !== stands[index]))
      return refused('mismatch', `site ${entry.site} does not hold what its state says`);
  }
  return granted({ ...entry, live, at: site.at, before, after });
}

/** The frames that a few bytes lie in: one, or two. */
function framesAt({ frames, gone }: LiveImage, { part, offset }: Place, length: number): Pfn[] {
  const pages = gone.get(part) ?? frames[part] ?? [];
  const first = Math.floor(offset / PAGE_SIZE);
  const last = Math.floor((offset + length - 1) / PAGE_SIZE);
  return pages.slice(first, last + 1);
}

function read(state: AuthorityState, live: LiveImage, at: Place, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  visitBytes(state, live, at, length, (page, place, index) => {
    bytes[index] = page[place] ?? 0;
  });
  return bytes;
}

function write(state: AuthorityState, live: LiveImage, at: Place, bytes: Uint8Array): void {
  visitBytes(state, live, at, bytes.length, (page, place, index) => {
    page[place] = bytes[index] ?? 0;
  });
}

/** Visits a few bytes of an image where they lie: in a page, or in two. */
function visitBytes(
  state: AuthorityState,
  live: LiveImage,
  at: Place,
  length: number,
  visit: (page: Uint8Array, place: number, index: number) => void,
): void {
  const pages = framesAt(live, at, length).map((frame) => pageBytes(state, frame));
  const start = at.offset % PAGE_SIZE;
  for (let index = 0; index < length; index++) {
    const page = pages[Math.floor((start + index) / PAGE_SIZE)];
    if (page !== undefined) visit(page, (start + index) % PAGE_SIZE, index);
  }
}

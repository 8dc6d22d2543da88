import { granted, type Request, refused } from '../answer.ts';
import { release, retype } from '../frames/pages.ts';
import { isInit, type Place } from '../images/code-image.ts';
import { leadsTo } from '../images/site-bytes.ts';
import { type AuthorityState, findExport, type LiveImage } from '../state.ts';
import { callerOf, programsOf } from './jit.ts';
import { givenBackBefore } from './weaker-requests.ts';

/**
 * RETIRE: an image goes. Refused while another refers to it, or a site of another leads into it. Safe, and not more: a processor that sleeps in
 * its code finds the page gone.
 */
export function* retire(state: AuthorityState, id: number): Request {
  const live = state.images.get(id);
  if (live === undefined) return refused('no-such-image', `image ${id}`);
  if (live.refersTo.size === 0 && isKernel(state, id)) return refused('in-use', 'the kernel itself stays');
  const user = state.defects['B-A10'] ? undefined : userOf(state, id);
  if (user !== undefined) return refused('in-use', user);
  const frames = live.frames.flat();
  // One step: an image that is in no table any more, and could still be executed, would have no owner.
  state.images.delete(id);
  retype(state, frames, 'retired', 0);
  yield 'retired';
  release(state, frames);
  state.chain.append(`retire ${id}`);
  return granted();
}

/** INIT_DONE: the init parts of an image have run. Their sites go with them, those that straddle into them too. */
export function* initDone(state: AuthorityState, id: number): Request {
  const live = state.images.get(id);
  if (live === undefined) return refused('no-such-image', `image ${id}`);
  const parts = live.image.parts.flatMap(({ kind }, index) => (isInit(kind) ? [index] : []));
  const frames = parts.flatMap((part) => givenBackBefore(state, live, part) ?? live.frames[part] ?? []);
  if (frames.length === 0) return refused('malformed', 'it has no init parts, or they were given back');
  const user =
    leadsInto(state, live, ({ part }) => parts.includes(part)) ?? relocatedInto(state, live, parts);
  if (user !== undefined) return refused('in-use', user);
  for (const part of parts) {
    if (!live.gone.has(part)) live.gone.set(part, live.frames[part] ?? []);
    live.frames[part] = [];
  }
  if (!state.defects['B-A5']) {
    for (const [index, { at }] of live.image.sites.entries()) {
      if (parts.includes(at.part)) live.states[index] = -1;
    }
  }
  retype(state, frames, 'retired', 0);
  yield 'retired';
  release(state, frames);
  state.chain.append(`init-done ${id}`);
  return granted();
}

function isKernel({ images }: AuthorityState, id: number): boolean {
  return [...images.keys()].every((other) => other >= id);
}

/** Who keeps an image from going. */
function userOf(state: AuthorityState, id: number): string | undefined {
  for (const other of state.images.values()) {
    if (other.id !== id && other.refersTo.has(id)) return `image ${other.id} refers to it`;
  }
  const programs = programsOf(state, id);
  const caller = programs.size === 0 ? undefined : callerOf(state, programs, id);
  if (caller !== undefined) return caller;
  const live = state.images.get(id);
  return live === undefined ? undefined : leadsInto(state, live, () => true, id);
}

/** A site, of any image but `apart`, whose state leads to a place of `live` for which `inside` says so. */
function leadsInto(
  state: AuthorityState,
  live: LiveImage,
  inside: (place: Place) => boolean,
  apart?: number,
): string | undefined {
  for (const { id, image, states } of state.images.values()) {
    if (id === apart) continue;
    for (let index = 0; index < states.length; index++) {
      const value = states[index] ?? -1;
      // State 0 leads nowhere, of any kind: so are most of tens of thousands.
      if (value <= 0) continue;
      const site = image.sites[index];
      // What lies in the parts that go does not keep them.
      if (site === undefined || (id === live.id && inside(site.at))) continue;
      const target = leadsTo(site, value);
      if (target === undefined) continue;
      const place =
        typeof target === 'string' ? placeOf(state, live, target) : id === live.id ? target : undefined;
      if (place !== undefined && inside(place)) return `site ${index} of image ${id} leads into it`;
    }
  }
  return undefined;
}

/** Another image that was relocated to a name in one of the parts. */
function relocatedInto(state: AuthorityState, live: LiveImage, parts: readonly number[]): string | undefined {
  for (const { id, image } of state.images.values()) {
    if (id === live.id) continue;
    for (const { to } of image.relocations) {
      const place = typeof to === 'string' ? placeOf(state, live, to) : undefined;
      if (place !== undefined && parts.includes(place.part)) return `image ${id} refers to ${String(to)}`;
    }
  }
  return undefined;
}

/** The place of `live` that a name stands for, when it is this image that exports it. */
function placeOf(state: AuthorityState, live: LiveImage, name: string): Place | undefined {
  return findExport(state, name)?.id === live.id ? live.image.exports.get(name) : undefined;
}

import { PAGE_SIZE, type Pfn } from '@heki/physical-memory';
import { type Answer, granted, refused } from '../answer.ts';
import { mayBecome, RIGHTS } from '../frames/frame-type.ts';
import { pageBytes } from '../frames/pages.ts';
import { stateBytes } from '../images/build-image.ts';
import { statesOf } from '../images/site-bytes.ts';
import { type AuthorityState, findExport, type LiveImage } from '../state.ts';

/** B-A1: a page of an image's text is made writable, or executable again, for whoever asks. */
export function openText(
  state: AuthorityState,
  id: number,
  part: number,
  page: number,
  open: boolean,
): Answer {
  const frame = state.images.get(id)?.frames[part]?.[page];
  if (!state.defects['B-A1'] || frame === undefined)
    return refused('no-such-image', 'there is no such request');
  state.host.setRights([frame], open ? { ...RIGHTS.text, write: true } : RIGHTS.text);
  state.host.flush();
  return granted();
}

/** B-A2: bytes at an offset of a site, judged by whether some state has the same bytes there. */
export function patchStep(
  state: AuthorityState,
  id: number,
  site: number,
  offset: number,
  bytes: Uint8Array,
): Answer {
  const live = state.images.get(id);
  const known = live?.image.sites[site];
  if (!state.defects['B-A2'] || live === undefined || known === undefined)
    return refused('no-such-site', 'there is no such request');
  const resolve = (name: string): bigint | undefined => findExport(state, name)?.address;
  const fits = Array.from({ length: statesOf(known) }, (_, value) => value).some((value) => {
    const declared = stateBytes(live.image, live.bases, site, value, resolve);
    return bytes.length > 0 && bytes.every((byte, index) => declared?.[offset + index] === byte);
  });
  if (!fits) return refused('mismatch', 'no state has these bytes there');
  for (const [index, byte] of bytes.entries()) {
    const at = known.at.offset + offset + index;
    const frame = live.frames[known.at.part]?.[Math.floor(at / PAGE_SIZE)];
    if (frame !== undefined) pageBytes(state, frame)[at % PAGE_SIZE] = byte;
  }
  return granted();
}

/** B-A5: the frames of a part that was given back already, whatever image has them by now; `undefined` before that, and for an owner that knows. */
export function givenBackBefore(
  { defects, frames }: AuthorityState,
  { gone }: LiveImage,
  part: number,
): Pfn[] | undefined {
  if (!defects['B-A5']) return undefined;
  return gone.get(part)?.filter((frame) => {
    const { type } = frames.of(frame);
    return type !== 'staged' && mayBecome(type, 'retired');
  });
}

import { type Gfn, hex, PAGE_SIZE } from '@heki/physical-memory';
import { granted, type Request, refused } from '../answer.ts';
import { emptyFrames, takeAway } from '../frames/named-frames.ts';
import { release, retype, writePages } from '../frames/pages.ts';
import { buildImage } from '../images/build-image.ts';
import type { CodeImage, Template } from '../images/code-image.ts';
import { type AuthorityState, addressesAreFree, findExport } from '../state.ts';
import { live } from './seal.ts';

const INT3 = 0xcc;

/**
 * TRAMP: a page of code from a template of the kernel; its branch, if it has one, leads to a function that the template allows. The rest of
 * the page is INT3.
 *
 * @param target none for a template without a branch
 * @param base where the guest wants it
 */
export function* trampoline(
  state: AuthorityState,
  template: string,
  target: string | undefined,
  frame: Gfn,
  base: bigint,
): Request<number> {
  if (!state.sealed) return refused('wrong-time', 'the kernel is not sealed');
  const found = [...state.images.values()].find(({ image }) => image.templates?.has(template) === true);
  const shape = found?.image.templates?.get(template);
  if (found === undefined || shape === undefined) return refused('no-such-site', `template ${template}`);
  const to = target === undefined ? undefined : findExport(state, target);
  const fits =
    target === undefined
      ? shape.branch === undefined
      : to !== undefined && shape.branch?.targets.includes(target) === true;
  if (!fits) return refused('no-such-state', `${template} does not lead to ${target ?? 'nothing'}`);
  if (base % BigInt(PAGE_SIZE) !== 0n || base < 0n || base >= 1n << 64n)
    return refused('malformed', `a trampoline at ${hex(base)}`);
  if (!addressesAreFree(state, base, PAGE_SIZE)) return refused('not-free', 'another image lies there');
  const named = emptyFrames(state, [[frame]]);
  if (!named.ok) return named;
  const image = imageOf(template, target, shape);
  const resolve = (name: string): bigint | undefined => findExport(state, name)?.address;
  const built = buildImage(image, [base], [], resolve);
  const bytes = built.ok ? built.parts[0] : undefined;
  if (bytes === undefined) return refused('unresolved', `${target ?? template} is out of reach`);
  const id = state.nextId++;
  const frames = named.value.flat();
  const taken = takeAway(state, frames, id);
  if (!taken.ok) return taken;
  yield 'staged';
  writePages(state, frames, bytes);
  // Meanwhile images may have come and gone: what it leads to may be another one's, at the same address.
  const still = target === undefined ? undefined : findExport(state, target);
  const isThere = state.images.has(found.id) && still?.address === to?.address;
  if (!isThere || !addressesAreFree(state, base, PAGE_SIZE)) {
    retype(state, frames, 'retired', 0);
    release(state, frames);
    return refused('unresolved', 'what it leads to has gone, or another image lies there, by now');
  }
  retype(state, frames, 'trampoline', id);
  const refersTo = new Set(still === undefined ? [found.id] : [still.id, found.id]);
  state.images.set(id, live(id, image, { bases: [base], frames: [[frame]] }, named.value, [], refersTo));
  state.chain.append(`trampoline ${id} ${template} ${target ?? ''}`);
  return granted(id);
}

/** An image of one page, with the branch as a relocation: whatever looks for who refers to what finds it. */
function imageOf(template: string, target: string | undefined, { bytes: code, branch }: Template): CodeImage {
  const bytes = new Uint8Array(PAGE_SIZE).fill(INT3);
  bytes.set(code);
  return {
    name: `trampoline ${template}${target === undefined ? '' : ` to ${target}`}`,
    parts: [{ kind: 'text', bytes }],
    relocations:
      branch === undefined || target === undefined
        ? []
        : [{ at: { part: 0, offset: branch.at }, kind: 'rel32', to: target, addend: -4 }],
    sites: [],
    exports: new Map(),
    changeable: new Set(),
  };
}

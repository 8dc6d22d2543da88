import { RETURN_THUNKS } from '../branches.ts';
import {
  type ImageAddress,
  type ImageRange,
  type ImageView,
  imageAddress,
  type ReadLive,
} from '../image-view.ts';
import { branchTarget, int32 } from '../instructions.ts';
import type { PatchSite } from '../patch-site.ts';
import { lockSites, readSites } from '../read-sites.ts';
import type { BootVector, SiteState } from './boot-vector.ts';

const [LOCK, DS] = [0xf0, 0x3e];
const [CALL, JMP8, JMP32] = [0xe8, 0xeb, 0xe9];

/**
 * The boot vector as a guest names it: variables out of its memory, and of each site in `text` that may change the state that it has. Nothing of this is to be
 * believed: what is built with it is compared with memory, and what it wishes for is checked.
 *
 * @param capabilities `boot_cpu_data.x86_capability`
 */
export function readBootVector(
  image: ImageView,
  text: ImageRange,
  capabilities: readonly number[],
  live: ReadLive,
): BootVector {
  const pointer = (at: ImageAddress | undefined): ImageAddress | undefined => {
    const bytes = at === undefined ? undefined : live(at, 8);
    return bytes && imageAddress(new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true));
  };
  const thunk = pointer(image.symbols.named('x86_return_thunk'));
  const pointers = new Map<ImageAddress, ImageAddress>();
  const constants = new Map<string, bigint>();
  const calls = new Map<ImageAddress, ImageAddress>();
  const sites = new Map<ImageAddress, SiteState>();
  for (const site of readSites(image, { start: -(2 ** 31), end: 0 })) {
    const isInText = site.at >= text.start && site.at < text.end;
    switch (site.kind) {
      case 'paravirt':
      case 'alternative': {
        const slot = slotOf(image, site);
        const target = pointer(slot);
        if (slot !== undefined && target !== undefined) pointers.set(slot, target);
        break;
      }
      case 'runtime constant': {
        // Shifts are variables of 4 bytes, though a site has the lowest alone.
        const size = site.size === 1 ? 4 : 8;
        const at = image.symbols.named(site.variable ?? '');
        const bytes = at === undefined ? undefined : live(at, size);
        if (bytes !== undefined && site.variable !== undefined) {
          const view = new DataView(bytes.buffer, bytes.byteOffset, size);
          constants.set(
            site.variable,
            size === 4 ? BigInt(view.getUint32(0, true)) : view.getBigUint64(0, true),
          );
        }
        break;
      }
      case 'static call': {
        const target = pointer(site.key);
        if (site.key !== undefined && target !== undefined) calls.set(site.key, target);
        if (isInText && target === 0 && live(site.at, 1)?.[0] === JMP32) sites.set(site.at, 'jumps');
        break;
      }
      case 'jump label': {
        const first = isInText ? live(site.at, 1)?.[0] : undefined;
        if (first === JMP8 || first === JMP32) sites.set(site.at, 'jumps');
        break;
      }
      case 'ftrace':
      case 'ftrace callback': {
        const now = isInText ? live(site.at, site.size) : undefined;
        const target = now?.[0] === CALL ? branchTarget(now, site.at) : undefined;
        if (target !== undefined) sites.set(site.at, { calls: target });
        break;
      }
    }
  }
  return {
    ...{ capabilities, pointers, constants, calls, sites },
    oneProcessor: hasOneProcessor(image, live),
    returnThunk:
      thunk === undefined ? '' : (image.symbols.at(thunk).find((name) => RETURN_THUNKS.test(name)) ?? ''),
  };
}

/**
 * Whether the machine has one processor, as the LOCK prefixes of `image` tell: what the most of them are, since one alone that is otherwise is no machine of another
 * kind.
 */
export function hasOneProcessor(image: ImageView, live: ReadLive): boolean {
  let surplus = 0;
  for (const { at } of lockSites(image)) {
    const now = live(at, 1)?.[0];
    if (now === DS) surplus++;
    else if (now === LOCK) surplus--;
  }
  return surplus > 0;
}

/** Where the pointer lies that a call goes through. */
export function slotOf(image: ImageView, { at }: PatchSite): ImageAddress | undefined {
  const code = image.bytes(at, 7);
  if (code?.[0] !== 0xff) return undefined;
  if (code[1] === 0x14 && code[2] === 0x25) return int32(code, 3);
  return code[1] === 0x15 ? at + 6 + int32(code, 2) : undefined;
}

import type { ImageAddress, ImageRange, ImageView, ReadLive } from '../image-view.ts';
import type { PatchSite } from '../patch-site.ts';
import { buildText } from './build-text.ts';
import { FEATURES, has } from './features.ts';
import { hasOneProcessor, readBootVector } from './read-boot-vector.ts';

/** Whether `now` is what the features of the processor decide at a site; `undefined` where something else decides. */
export type IsDecided = (site: PatchSite, now: Uint8Array) => boolean | undefined;

/**
 * The code that a kernel's own feature bits decide, to be compared with: who writes a bare return or a plain indirect call where a mitigation has to be writes
 * what Linux writes, too, on another processor.
 *
 * @param core the kernel's own image, where `image` is a module's
 * @returns `undefined` for kernels whose way of patching is not built here: without return thunks, with kCFI, and where calls are counted
 */
export function decidedCode(
  image: ImageView,
  text: ImageRange,
  capabilities: readonly number[],
  live: ReadLive,
  core: ImageView = image,
): IsDecided | undefined {
  if (image.range('.cfi_sites') !== undefined || has(capabilities, FEATURES.CALL_DEPTH)) return undefined;
  const named = readBootVector(image, text, capabilities, live);
  if (named.returnThunk === '') return undefined;
  const vector = core === image ? named : { ...named, oneProcessor: hasOneProcessor(core, live) };
  const built = buildText(image, text, vector, core);
  const stays = has(capabilities, FEATURES.RETPOLINE) && !has(capabilities, FEATURES.RETPOLINE_LFENCE);
  return (site, now) => {
    switch (site.kind) {
      // Else by thunks that are made at boot, outside of the image.
      case 'retpoline':
        return stays ? equals(built, site.at, now) : undefined;
      case 'alternative':
        return site.isDirectCall === true ? undefined : equals(built, site.at, now);
      case 'return thunk':
      case 'smp lock':
        return equals(built, site.at, now);
      default:
        return undefined;
    }
  };
}

function equals(built: ImageView, at: ImageAddress, now: Uint8Array): boolean {
  return built.bytes(at, now.length)?.every((byte, index) => byte === now[index]) ?? false;
}

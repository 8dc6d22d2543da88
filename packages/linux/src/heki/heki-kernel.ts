import type { HekiKernel } from '@heki/guest';
import type { FrameRange, Gfn, VirtualAddress } from '@heki/physical-memory';
import type { ImageSymbol } from '../layout/kernel-build.ts';
import { directAddress } from '../layout/layout.ts';
import { attempt } from '../outcome.ts';
import type { TextState } from '../text/text-state.ts';
import type { HekiPlaces } from './heki-symbols.ts';
import { createHekiVariables } from './heki-variables.ts';

/** What Heki's core gets of the kernel. Page lists are stored through the processor, in pages of the page allocator. */
export function createHekiKernel(
  state: Pick<TextState, 'physicalMemory' | 'memoryMap' | 'layout' | 'tables' | 'image' | 'build'>,
  places: HekiPlaces,
  kernel: () => TextState,
): HekiKernel {
  const { physicalMemory, memoryMap, layout, tables, image, build } = state;
  return {
    memory: physicalMemory,
    pageTableRoot: tables.root,
    levels: layout.levels,
    // pfn_valid holds for whole sections, holes in them included.
    get validFrames() {
      return [{ start: 0 as Gfn, end: kernel().memoryEnd }];
    },
    get ramFrames() {
      const ram: FrameRange<Gfn>[] = memoryMap.entries.filter(({ type }) => type === 'ram');
      const { memoryEnd } = kernel();
      const plugged = { start: memoryMap.ramEnd, end: memoryEnd };
      return plugged.start < plugged.end ? [...ram, plugged] : ram;
    },
    get directMap() {
      const end = (layout.directMap + kernel().memoryEnd) as typeof layout.directMap;
      return { start: layout.directMap, end };
    },
    // The trampoline, and what free_init_pages leaves of the image.
    get finalFrames() {
      const { trampoline } = kernel();
      const frames = (first: ImageSymbol, end: ImageSymbol): FrameRange<Gfn> => ({
        start: image.guestFrame(image.frame(first)),
        end: image.guestFrame(image.frame(end)),
      });
      return [
        { start: trampoline, end: (trampoline + build.trampoline.pages) as Gfn },
        frames('_text', '_etext'),
        frames('__start_rodata', '__end_rodata'),
        frames('_sdata', '__init_begin'),
        frames('__nosave_begin', '__start_bss_decrypted_unused'),
      ];
    },
    interleave: () => kernel().turns.take(),
    variables: createHekiVariables(state, places, kernel),
    allocatePage() {
      const frame = kernel().pages.allocate();
      return frame === undefined ? undefined : { frame, address: directAddress(layout, frame) };
    },
    freePage: ({ frame }) => kernel().pages.free(frame),
    store: (page, offset, bytes) =>
      attempt(() => kernel().memory.store((page.address + BigInt(offset)) as VirtualAddress, bytes)).kind ===
      'done',
  };
}

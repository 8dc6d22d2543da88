import {
  type Gfn,
  PAGE_SIZE,
  type VirtualAddress,
  type VirtualFrame,
  virtualAddressOf,
} from '@heki/physical-memory';
import type { ImageSymbol, KernelBuild } from './kernel-build.ts';
import type { AddressLayout } from './layout.ts';

/** Pages that a 2-MiB leaf maps. */
const HUGE = 512;

/** A kernel image at its place. Frames of symbols are rounded up, as Linux's PFN_ALIGN does. */
export interface KernelImage {
  readonly start: VirtualFrame;
  /** The end of its mapping: `_brk_end` rounded up to 2 MiB. */
  readonly end: VirtualFrame;
  /** `_brk_end`. */
  readonly brkEnd: VirtualFrame;
  /** `__end_rodata_hpage_align`. */
  readonly endRodataHuge: VirtualFrame;
  address(symbol: ImageSymbol): VirtualAddress;
  frame(symbol: ImageSymbol): VirtualFrame;
  /** The guest frame behind a virtual frame of the image. */
  guestFrame(frame: VirtualFrame): Gfn;
  /** Where the image maps a guest frame, `undefined` for one that it does not hold (`__cpa_pfn_in_highmap`). */
  virtualFrame(frame: Gfn): VirtualFrame | undefined;
}

/** The image of `build` as `layout` places it. */
export function createKernelImage(build: KernelBuild, layout: AddressLayout): KernelImage {
  const { offsets, brkPages } = build;
  const { text, textFrame } = layout;
  const pages = (symbol: ImageSymbol): number => Math.ceil(offsets[symbol] / PAGE_SIZE);
  const brkEnd = pages('__bss_stop') + brkPages;
  const mapped = Math.ceil(brkEnd / HUGE) * HUGE;
  return {
    start: text,
    end: (text + mapped) as VirtualFrame,
    brkEnd: (text + brkEnd) as VirtualFrame,
    endRodataHuge: (text + Math.ceil(pages('__end_rodata') / HUGE) * HUGE) as VirtualFrame,
    address: (symbol) => (virtualAddressOf(text) + BigInt(offsets[symbol])) as VirtualAddress,
    frame: (symbol) => (text + pages(symbol)) as VirtualFrame,
    guestFrame: (frame) => (textFrame + (frame - text)) as Gfn,
    virtualFrame(frame) {
      const inside = frame >= textFrame && frame < textFrame + mapped;
      return inside ? ((text + (frame - textFrame)) as VirtualFrame) : undefined;
    },
  };
}

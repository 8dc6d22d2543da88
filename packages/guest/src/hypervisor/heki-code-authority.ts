import type { Gfn, VirtualAddress } from '@heki/physical-memory';

/** Where a part of an image lies: a virtual address, and the pages there, in order. */
export interface HekiCodePart {
  readonly address: VirtualAddress;
  readonly frames: readonly Gfn[];
}

/** A site of an image, and a state of it, by their numbers. */
export interface HekiSiteState {
  readonly site: number;
  readonly state: number;
}

/**
 * What a kernel asks whoever owns its code: it names files, images, sites and states, and never hands over bytes that are executed. Once the
 * kernel is sealed nothing else makes a page executable for it. The compiled programs
 * that it does hand over are judged, and their constants are not its own. Each gives 0, the number of an image where it says so, or a negative error number.
 */
export interface HekiCodeAuthority {
  /**
   * Once, at the end of late init: the kernel's code is what was signed, at these places.
   *
   * @param parts those of the signed image, in its order
   * @param states sites that are not in state 0, in ascending order
   * @returns the number of the kernel's image
   */
  seal(parts: readonly HekiCodePart[], states: readonly HekiSiteState[]): number;
  /**
   * A module, in free pages: the owner writes it. Its sites are in state 0.
   *
   * @returns the number of its image
   */
  load(
    file: { readonly bytes: number; readonly frames: readonly Gfn[] },
    parts: readonly HekiCodePart[],
  ): number;
  /** Sites change their states: all of them at once, or, where they are more than one request takes, so many at a time. */
  poke(image: number, sites: readonly HekiSiteState[]): number;
  /** The init parts of an image have run: their pages come back, empty. */
  initDone(image: number): number;
  /** An image goes: its pages come back, empty. */
  retire(image: number): number;
  /**
   * A page from a template of the kernel's.
   *
   * @param target which of its targets it leads to; 0 for one that has none
   * @returns the number of its image
   */
  trampoline(template: number, target: number, frame: Gfn, address: VirtualAddress): number;
  /**
   * Pages that hold nothing, or INT3 throughout, become a pack for compiled eBPF programs.
   *
   * @returns its number
   */
  makePack(pack: HekiCodePart): number;
  /** A compiled program goes into free slots of 64 bytes of a pack. */
  addProgram(
    pack: number,
    slot: number,
    program: { readonly bytes: number; readonly frames: readonly Gfn[] },
  ): number;
  /** The program that begins in this slot goes; INT3 takes its place. */
  removeProgram(pack: number, slot: number): number;
}

import { type VirtualFrame, virtualAddressOf } from '@heki/physical-memory';
import type { KernelNames, PlacedPages } from '@heki/symbols';
import type { MappingLeaf } from '@heki/x86';
import { regionText, symbolText } from '../names/place-text.ts';

/** What the pages of a leaf lie in. */
export interface LeafPlace {
  /** That of its first page; the same object for all leaves that lie in it alone. */
  readonly pages: PlacedPages;
  readonly region: string;
  /** The other regions that it reaches into, in order. */
  readonly alsoIn: readonly string[];
}

/** Follows a kernel's regions along leaves that come in ascending order: where a region goes on, nothing is looked up for a leaf. */
export class LeafPlaces {
  readonly #names: KernelNames;
  readonly #rest: Iterator<PlacedPages, void>;
  #now: PlacedPages;
  /** Of the leaves that lie in `#now` alone. */
  #whole: LeafPlace;

  /** @param start, end the frames that leaves lie in, of which there is one at least */
  constructor(names: KernelNames, start: VirtualFrame, end: VirtualFrame) {
    this.#names = names;
    this.#rest = names.pagesByPlace(start, end);
    this.#now = { start, end: start, place: names.at(virtualAddressOf(start)) };
    this.#whole = { pages: this.#now, region: regionText(this.#now.place), alsoIn: [] };
  }

  of({ virtualFrame, frames }: MappingLeaf): LeafPlace {
    const end = virtualFrame + frames;
    this.#goOnTo(virtualFrame);
    if (end <= this.#now.end) return this.#whole;
    const { pages, region } = this.#whole;
    const others = new Set<string>();
    while (this.#now.end < end && this.#goOnTo(this.#now.end)) others.add(this.#whole.region);
    others.delete(region);
    return { pages, region, alsoIn: [...others] };
  }

  /** What begins at a leaf or before it; of a page that has BPF code anywhere, that. */
  symbolOf({ virtualFrame }: MappingLeaf, { pages }: LeafPlace): string | undefined {
    const { start, place } = pages;
    return symbolText(start === virtualFrame ? place : this.#names.at(virtualAddressOf(virtualFrame)));
  }

  /** Whether `frame` is one of those that are followed. */
  #goOnTo(frame: number): boolean {
    while (this.#now.end <= frame) {
      const next = this.#rest.next();
      if (next.done === true) return false;
      this.#now = next.value;
      this.#whole = { pages: next.value, region: regionText(next.value.place), alsoIn: [] };
    }
    return true;
  }
}

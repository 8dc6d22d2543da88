/**
 * change_page_attr, page by page and obviously: a table of pages, no leaves that split. What the engine must agree with.
 */
export interface ModelPage {
  readonly frame: number;
  present: boolean;
  writable: boolean;
  noExecute: boolean;
}

/** Where things lie, in virtual and physical pages. Ends are exclusive. */
export interface ModelPlaces {
  readonly directMap: number;
  readonly ramEnd: number;
  readonly text: number;
  readonly textFrame: number;
  readonly etext: number;
  readonly brkEnd: number;
  readonly mapEnd: number;
  readonly rodata: readonly [start: number, end: number];
}

/** Bits that one call sets or clears. */
export interface ModelChange {
  readonly present?: boolean;
  readonly writable?: boolean;
  readonly noExecute?: boolean;
}

export class AttributeModel {
  readonly pages: Map<number, ModelPage>;
  readonly #places: ModelPlaces;

  constructor(pages: Map<number, ModelPage>, places: ModelPlaces) {
    this.pages = pages;
    this.#places = places;
  }

  /** Whether all pages could be changed; those before the first hole are. */
  change(start: number, count: number, change: ModelChange, aliases: boolean): boolean {
    const { directMap, ramEnd, text, textFrame, brkEnd, mapEnd } = this.#places;
    for (let at = start; at < start + count; at++) {
      const page = this.pages.get(at);
      const inDirectMap = at >= directMap && at < directMap + ramEnd;
      if (page === undefined && !inDirectMap) return false;
      if (page !== undefined) this.#one(at, page, change);
      if (!aliases) continue;
      const frame = page?.frame ?? at - directMap;
      if (frame >= ramEnd) continue;
      const { noExecute: _, ...followed } = change;
      if (!inDirectMap) this.#alias(directMap + frame, followed);
      const high = text + frame - textFrame;
      if (!(at >= text && at < brkEnd) && high >= text && high < mapEnd) this.#alias(high, followed);
    }
    return true;
  }

  #alias(at: number, change: ModelChange): void {
    const page = this.pages.get(at);
    if (page !== undefined) this.#one(at, page, change);
  }

  #one(at: number, page: ModelPage, change: ModelChange): void {
    const { text, etext, rodata } = this.#places;
    const next = { ...page, ...change };
    if (next.present) {
      if (at >= text && at < etext) next.noExecute = false;
      if (page.frame >= rodata[0] && page.frame < rodata[1]) next.writable = false;
    }
    // verify_rwx does not ask whether the page is present.
    const changes = next.writable !== page.writable || next.noExecute !== page.noExecute;
    if (changes && next.writable && !next.noExecute) return;
    Object.assign(page, next);
  }
}

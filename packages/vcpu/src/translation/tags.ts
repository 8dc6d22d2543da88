import type { TranslationCache } from './translation-cache.ts';

/** Contexts that have tags at once before all are forgotten: a guest can name 4,096 PCIDs per VPID and view. */
const MOST_CONTEXTS = 8192;
/** Tags fill an Int32Array. */
const LAST_TAG = 2 ** 31 - 1;
/** Stands for the PCID in the context of global pages, which match every PCID (SDM 3A 4.10.2.4). */
const GLOBAL = 4096;

/**
 * Tags of cached translations, one for each second-level root, VPID and PCID, and one for the global pages of each root
 * and VPID (SDM 3C 29.4.1). A flushed context gets a new tag when it is used again, so that its old entries match nothing.
 */
export class TranslationTags {
  /** By root, then by VPID and PCID. */
  readonly #contexts = new Map<number, Map<number, number>>();
  readonly #cache: Pick<TranslationCache, 'clear'>;
  readonly #lastTag: number;
  #count = 0;
  #next = 1;
  /** Which tags contexts have: each change makes others, and a point that is brought back has those that it had. */
  #version = 0;
  #latest = 0;

  /** Tags for `cache`, which is cleared when tags start again from the first, after `lastTag`. */
  constructor(cache: Pick<TranslationCache, 'clear'>, lastTag: number = LAST_TAG) {
    this.#cache = cache;
    this.#lastTag = lastTag;
  }

  /** The tag of the context that {@link use} chose. */
  own = 0;
  /** The tag of the global pages that go with it. */
  global = 0;

  /** Chooses a context: {@link own} and {@link global} are its tags from now on, until some are forgotten. */
  use(root: number, vpid: number, pcid: number): void {
    if (this.#count + 2 > MOST_CONTEXTS) this.forgetAll();
    if (this.#next + 1 > this.#lastTag) {
      this.forgetAll();
      this.#cache.clear();
      this.#next = 1;
    }
    this.own = this.#tag(root, vpid * 8192 + pcid);
    this.global = this.#tag(root, vpid * 8192 + GLOBAL);
  }

  /** No context has a tag: nothing can be cached. */
  get empty(): boolean {
    return this.#count === 0;
  }

  /** The tags that one PCID, and with `globals` the global pages, have now, under every root. */
  tagsFor(vpid: number, pcid: number, globals: boolean): number[] {
    const tags: number[] = [];
    const pcids = globals ? [pcid, GLOBAL] : [pcid];
    for (const context of this.#contexts.values()) {
      for (const key of pcids.map((each) => vpid * 8192 + each)) {
        const tag = context.get(key);
        if (tag !== undefined) tags.push(tag);
      }
    }
    return tags;
  }

  /** The tags that all PCIDs of a VPID and its global pages have now, under every root. */
  tagsForVpid(vpid: number): number[] {
    const tags: number[] = [];
    for (const context of this.#contexts.values()) {
      for (const [key, tag] of context) if (Math.floor(key / 8192) === vpid) tags.push(tag);
    }
    return tags;
  }

  /** Forgets one PCID, under every root. */
  forgetPcid(vpid: number, pcid: number): void {
    this.#forget(vpid * 8192 + pcid);
  }

  /** Forgets the global pages of a VPID, under every root. */
  forgetGlobals(vpid: number): void {
    this.#forget(vpid * 8192 + GLOBAL);
  }

  /** Forgets all PCIDs of a VPID, but not its global pages. */
  forgetPcids(vpid: number): void {
    for (const context of this.#contexts.values()) {
      for (const key of context.keys()) {
        if (Math.floor(key / 8192) === vpid && key % 8192 !== GLOBAL && context.delete(key)) this.#count--;
      }
    }
    this.#changed();
  }

  /** Forgets everything of a root. */
  forgetRoot(root: number): void {
    this.#count -= this.#contexts.get(root)?.size ?? 0;
    this.#contexts.delete(root);
    this.#changed();
  }

  /** Forgets everything. */
  forgetAll(): void {
    this.#contexts.clear();
    this.#count = 0;
    this.#changed();
  }

  /** Changes whenever a tag stands for something else. */
  get version(): number {
    return this.#version;
  }

  /** What a tag stands for, as a number that only this VPID, PCID and root have; 0 for one that no context has any more. */
  contextOf(tag: number): number {
    for (const [root, context] of this.#contexts)
      for (const [key, own] of context)
        if (own === tag) return (root + 2) * 2 ** 13 + (key % 2 ** 13) + Math.floor(key / 2 ** 13) * 2 ** 48;
    return 0;
  }

  /** What brings back the tags that contexts have now. */
  checkpoint(): () => void {
    const contexts = [...this.#contexts].map(([root, context]) => [root, [...context]] as const);
    const [count, next, own, global] = [this.#count, this.#next, this.own, this.global];
    const version = this.#version;
    return () => {
      this.own = own;
      this.global = global;
      if (this.#version === version) return;
      this.#version = version;
      this.#contexts.clear();
      for (const [root, context] of contexts) this.#contexts.set(root, new Map(context));
      this.#count = count;
      this.#next = next;
    };
  }

  #forget(key: number): void {
    for (const context of this.#contexts.values()) if (context.delete(key)) this.#count--;
    this.#changed();
  }

  #changed(): void {
    this.#version = ++this.#latest;
  }

  #tag(root: number, key: number): number {
    let context = this.#contexts.get(root);
    if (context === undefined) {
      context = new Map();
      this.#contexts.set(root, context);
    }
    const known = context.get(key);
    if (known !== undefined) return known;
    context.set(key, this.#next);
    this.#changed();
    this.#count++;
    return this.#next++;
  }
}

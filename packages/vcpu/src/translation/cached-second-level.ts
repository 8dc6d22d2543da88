import type { Gfn, Pfn, StateDigest } from '@heki/physical-memory';
import { REFUSED, type SecondLevel, SecondLevelAccess, SecondLevelRights } from '@heki/second-level';
import type { SecondLevelFault } from '../exit.ts';
import { TranslationTags } from './tags.ts';
import { type PageSize, TranslationCache } from './translation-cache.ts';

/** The {@link SecondLevelRights} that an access needs to be allowed from the cache. */
function needOf(access: number): number {
  if ((access & SecondLevelAccess.FETCH) !== 0) {
    if ((access & SecondLevelAccess.USER_ACCESS) !== 0) return SecondLevelRights.FETCH_USER;
    return (access & SecondLevelAccess.USER_PAGE) !== 0
      ? SecondLevelRights.FETCH_SUPERVISOR_FROM_USER_PAGE
      : SecondLevelRights.FETCH_SUPERVISOR;
  }
  const structure = (access & SecondLevelAccess.PAGING_STRUCTURE) !== 0;
  let need = 0;
  if ((access & SecondLevelAccess.READ) !== 0) {
    need |= structure ? SecondLevelRights.READ_PAGING_STRUCTURE : SecondLevelRights.READ;
  }
  if ((access & SecondLevelAccess.WRITE) !== 0) {
    need |= structure ? SecondLevelRights.WRITE_PAGING_STRUCTURE : SecondLevelRights.WRITE;
  }
  return need;
}

/**
 * A second level behind the guest-physical mappings that a logical processor caches (SDM 3C 29.4.1). They are tagged by
 * the root of the second level alone: nothing that the guest does drops them, and INVVPID neither.
 */
export class CachedSecondLevel implements SecondLevel<SecondLevelFault> {
  fault: SecondLevelFault | undefined;
  level = 1;
  rights = 0;
  readonly #cache = new TranslationCache();
  readonly #tags = new TranslationTags(this.#cache);
  #inner: SecondLevel<SecondLevelFault>;
  #root: number;

  constructor(inner: SecondLevel<SecondLevelFault>, root: number) {
    this.#inner = inner;
    this.#root = root;
    this.#choose();
  }

  /** Goes on with another second level. Cached mappings of other roots stay. */
  use(inner: SecondLevel<SecondLevelFault>, root: number): void {
    this.#inner = inner;
    this.#root = root;
    this.#choose();
  }

  /** Drops the mappings of one root, or all. */
  flush(root?: number): void {
    if (root === undefined) this.#tags.forgetAll();
    else this.#tags.forgetRoot(root);
    this.#choose();
  }

  /** What brings back all that is cached now, and the second level behind it. */
  checkpoint(): () => void {
    const [inner, root] = [this.#inner, this.#root];
    const backs = [this.#cache.checkpoint(), this.#tags.checkpoint()];
    return () => {
      this.#inner = inner;
      this.#root = root;
      for (const back of backs) back();
    };
  }

  /** Tells `digest` what is cached. */
  digest(digest: StateDigest): void {
    this.#cache.digest(digest, this.#tags);
  }

  #choose(): void {
    this.#tags.use(this.#root, 0, 0);
    this.#cache.use(this.#tags.own, this.#tags.own);
  }

  translate(gfn: Gfn, offset: number, access: number): Pfn | typeof REFUSED {
    const cache = this.#cache;
    const tag = this.#tags.own;
    const cacheable = (access & SecondLevelAccess.SHADOW_STACK) === 0;
    const slot = cacheable ? cache.lookUp(gfn) : -1;
    if (slot >= 0) {
      const rights = cache.rights(slot);
      const need = needOf(access);
      if ((rights & need) === need) {
        this.level = cache.size(slot) + 1;
        this.rights = rights;
        return cache.target(slot, gfn) as Pfn;
      }
    }
    const inner = this.#inner;
    const frame = inner.translate(gfn, offset, access);
    if (frame === REFUSED) {
      cache.drop(gfn, tag);
      this.fault = inner.fault;
      return REFUSED;
    }
    this.level = inner.level;
    this.rights = inner.rights;
    if (this.rights !== 0) {
      cache.insert(gfn, (inner.level - 1) as PageSize, tag, frame, this.rights);
    }
    return frame;
  }
}

import type { Gfn, Pfn } from '@heki/physical-memory';
import { REFUSED, type SecondLevel, SecondLevelAccess } from '@heki/second-level';

const { READ, WRITE, FETCH, PAGING_STRUCTURE } = SecondLevelAccess;

/** What a guest frame translates to, and which of READ, WRITE and FETCH it allows. */
export interface MappedFrame {
  readonly frame: number;
  readonly allows: number;
}

/** A request that a {@link MappedSecondLevel} got. */
export interface Request {
  readonly gfn: number;
  readonly offset: number;
  readonly access: number;
}

/** A second level that is a plain map from guest frame to host frame, and remembers what it was asked. */
export class MappedSecondLevel implements SecondLevel<Request> {
  readonly frames: ReadonlyMap<number, MappedFrame>;
  readonly requests: Request[] = [];
  readonly level = 1;
  readonly rights = 0;
  fault: Request | undefined;
  readonly #readsEntriesAsWrites: boolean;

  /** @param readsEntriesAsWrites reads of paging-structure entries need WRITE, as with EPT A/D flags or nested paging */
  constructor(frames: ReadonlyMap<number, MappedFrame>, readsEntriesAsWrites = false) {
    this.frames = frames;
    this.#readsEntriesAsWrites = readsEntriesAsWrites;
  }

  translate(gfn: Gfn, offset: number, access: number): Pfn | typeof REFUSED {
    const request = { gfn, offset, access };
    this.requests.push(request);
    const mapped = this.frames.get(gfn);
    let needs = access & (READ | WRITE | FETCH);
    if ((access & PAGING_STRUCTURE) !== 0 && this.#readsEntriesAsWrites) needs |= WRITE;
    if (mapped === undefined || (mapped.allows & needs) !== needs) {
      this.fault = request;
      return REFUSED;
    }
    return mapped.frame as Pfn;
  }
}

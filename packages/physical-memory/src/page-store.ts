import { PAGE_WORDS } from './address.ts';

/** Frames of one directory entry: 2^18 frames, 1 GiB. */
const DIRECTORY_FRAMES = 2 ** 18;
/** Pages whose words share one buffer, so that a page costs a view and not a buffer of its own. */
const PAGES_PER_SLAB = 64;

type Chunk = (Uint32Array | undefined)[];

/**
 * Pages by frame number, sparse over 2^40 frames: gigabytes by number, then two levels of 512. A look-up
 * allocates nothing and, within the gigabyte of the look-up before it, costs two array loads.
 */
export class PageStore {
  readonly #directory = new Map<number, (Chunk | undefined)[]>();
  #lastNumber = -1;
  #last: (Chunk | undefined)[] | undefined;
  #slab: ArrayBuffer | undefined;
  #slabUsed = PAGES_PER_SLAB;
  #size = 0;

  /** The number of pages stored. */
  get size(): number {
    return this.#size;
  }

  get(frame: number): Uint32Array | undefined {
    const number = Math.floor(frame / DIRECTORY_FRAMES);
    if (number !== this.#lastNumber) {
      this.#lastNumber = number;
      this.#last = this.#directory.get(number);
    }
    const index = frame - number * DIRECTORY_FRAMES;
    return this.#last?.[index >>> 9]?.[index & 511];
  }

  /** Stores a new page of zeroes at `frame`, in place of what was there, and returns it. */
  add(frame: number): Uint32Array {
    if (this.#slab === undefined || this.#slabUsed === PAGES_PER_SLAB) {
      this.#slab = new ArrayBuffer(PAGES_PER_SLAB * PAGE_WORDS * 4);
      this.#slabUsed = 0;
    }
    const page = new Uint32Array(this.#slab, this.#slabUsed++ * PAGE_WORDS * 4, PAGE_WORDS);
    const number = Math.floor(frame / DIRECTORY_FRAMES);
    let directory = this.#directory.get(number);
    if (directory === undefined) {
      directory = new Array<Chunk | undefined>(512).fill(undefined);
      this.#directory.set(number, directory);
    }
    if (number === this.#lastNumber) this.#last = directory;
    const index = frame - number * DIRECTORY_FRAMES;
    let chunk = directory[index >>> 9];
    if (chunk === undefined) {
      chunk = new Array<Uint32Array | undefined>(512).fill(undefined);
      directory[index >>> 9] = chunk;
    }
    if (chunk[index & 511] === undefined) this.#size++;
    chunk[index & 511] = page;
    return page;
  }
}

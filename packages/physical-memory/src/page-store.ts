import { PAGE_WORDS } from './address.ts';

/** Frames of one chunk: 4 MiB, so that a lone page costs 8 KiB of table and a gigabyte 256 array slots. */
const CHUNK_FRAMES = 1024;
/** Frames below this (4 TiB) are looked up in an array, which grows to the highest one stored; others in a map. */
const DIRECT_FRAMES = 2 ** 30;
/**
 * Pages whose words share one buffer, so that a page costs a view and not a buffer of its own: in the first, and in the largest. Each has
 * twice as many as the one before, so that a memory of which little is used costs little.
 */
const FIRST_SLAB = 8;
const LARGEST_SLAB = 64;

/** Room for as many chunks before there is need for more: 256 MiB. */
const CHUNKS_AT_FIRST = 64;

type Chunk = (Uint32Array | undefined)[];

/** An array without holes, which would be looked up more slowly. */
function nothing<Value>(length: number): (Value | undefined)[] {
  return new Array<Value | undefined>(length).fill(undefined);
}

/**
 * Pages by frame number, sparse over 2^40 frames. Every step of every page walk looks a page up here: that
 * takes two array loads and allocates nothing.
 */
export class PageStore {
  #direct = nothing<Chunk>(CHUNKS_AT_FIRST);
  readonly #distant = new Map<number, Chunk>();
  #slab = new ArrayBuffer(0);
  #slabPages = FIRST_SLAB / 2;
  #slabUsed = FIRST_SLAB / 2;
  #size = 0;

  /** The number of pages stored. */
  get size(): number {
    return this.#size;
  }

  get(frame: number): Uint32Array | undefined {
    if (frame < DIRECT_FRAMES) {
      const index = frame;
      const chunk = this.#direct[index >>> 10];
      return chunk === undefined ? undefined : chunk[index & 1023];
    }
    return this.#distant.get(Math.floor(frame / CHUNK_FRAMES))?.[frame % CHUNK_FRAMES];
  }

  /** Stores a new page of zeroes at `frame`, in place of what was there, and returns it. */
  add(frame: number): Uint32Array {
    if (this.#slabUsed === this.#slabPages) {
      this.#slabPages = Math.min(2 * this.#slabPages, LARGEST_SLAB);
      this.#slab = new ArrayBuffer(this.#slabPages * PAGE_WORDS * 4);
      this.#slabUsed = 0;
    }
    const page = new Uint32Array(this.#slab, this.#slabUsed++ * PAGE_WORDS * 4, PAGE_WORDS);
    const chunk = this.#chunk(Math.floor(frame / CHUNK_FRAMES));
    if (chunk[frame % CHUNK_FRAMES] === undefined) this.#size++;
    chunk[frame % CHUNK_FRAMES] = page;
    return page;
  }

  #chunk(number: number): Chunk {
    const distant = number >= DIRECT_FRAMES / CHUNK_FRAMES;
    const existing = distant ? this.#distant.get(number) : this.#direct[number];
    if (existing !== undefined) return existing;
    const chunk = nothing<Uint32Array>(CHUNK_FRAMES);
    if (distant) {
      this.#distant.set(number, chunk);
    } else {
      if (number >= this.#direct.length) {
        const grown = nothing<Chunk>(Math.max(2 * this.#direct.length, number + 1));
        for (const [index, each] of this.#direct.entries()) grown[index] = each;
        this.#direct = grown;
      }
      this.#direct[number] = chunk;
    }
    return chunk;
  }
}

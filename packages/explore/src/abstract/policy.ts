/** How the owner of the second level answers requests to execute, in the abstract machine. */
export interface AbstractPolicy {
  /** As in `--machine NAME`. */
  readonly name: string;
  /** What the machine is, in a sentence. */
  readonly title: string;
  /**
   * What is asked of a frame before it may be executed.
   *
   * - `nothing`: whoever asks is granted, writable and executable at once too
   * - `not-writable`: it stops being writable
   * - `approved`: its bytes are approved ones
   */
  readonly asks: 'nothing' | 'not-writable' | 'approved';
  /** With `approved`: the bytes are looked at before the frame stops being writable, or after that is in force everywhere. */
  readonly looks: 'before' | 'after-freeze-and-flush';
  /** Cached translations are dropped on every processor before a grant counts. */
  readonly flushes: boolean;
  /** The listed address goes through tables of the owner (HLAT, SDM 3A 4.5.1), not through the guest's. */
  readonly hlat: boolean;
  readonly processors: 1 | 2;
}

/** The policies whose state spaces `docs/explore.md` shows, from the weakest to the one in which nothing falls. */
export const ABSTRACT_POLICIES: readonly AbstractPolicy[] = [
  {
    name: 'abstract-ask',
    title: 'whoever asks may execute: Heki with its hypercall as published',
    asks: 'nothing',
    looks: 'before',
    flushes: true,
    hlat: false,
    processors: 2,
  },
  {
    name: 'abstract-w-xor-x',
    title: 'a frame that may be executed may not be written: W^X and nothing else',
    asks: 'not-writable',
    looks: 'before',
    flushes: true,
    hlat: false,
    processors: 2,
  },
  {
    name: 'abstract-check-then-grant',
    title: 'bytes are checked, and then made executable',
    asks: 'approved',
    looks: 'before',
    flushes: true,
    hlat: false,
    processors: 2,
  },
  {
    name: 'abstract-no-flush',
    title: 'the frame is frozen and checked; cached translations stay',
    asks: 'approved',
    looks: 'after-freeze-and-flush',
    flushes: false,
    hlat: false,
    processors: 2,
  },
  {
    name: 'abstract-freeze-flush-check',
    title: 'the frame is frozen, every processor flushed, then the bytes are checked',
    asks: 'approved',
    looks: 'after-freeze-and-flush',
    flushes: true,
    hlat: false,
    processors: 2,
  },
  {
    name: 'abstract-freeze-flush-check-hlat',
    title: 'the same, and the listed address goes through tables of the owner',
    asks: 'approved',
    looks: 'after-freeze-and-flush',
    flushes: true,
    hlat: true,
    processors: 2,
  },
  {
    name: 'abstract-freeze-flush-check-hlat-1cpu',
    title: 'the same with one processor',
    asks: 'approved',
    looks: 'after-freeze-and-flush',
    flushes: true,
    hlat: true,
    processors: 1,
  },
];

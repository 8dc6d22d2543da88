import type { ImageAddress } from '../image-view.ts';

/**
 * What boot decides, and a signed image does not hold: with it every byte of a kernel's code follows from its package. A guest names it; who compares what
 * was built with memory has it proved, and {@link checkBootVector} says what of it may be wished for.
 */
export interface BootVector {
  /** Of feature and bug bits, as Linux numbers them (X86_FEATURE_..., X86_BUG_...): `boot_cpu_data.x86_capability`, 32 to a word. */
  readonly capabilities: readonly number[];
  /** The symbol that returns jump to; what of it holds while X86_FEATURE_RETHUNK is clear has no meaning. */
  readonly returnThunk: string;
  /** LOCK prefixes are DS: the machine has one processor. */
  readonly oneProcessor: boolean;
  /** The functions of pv_ops by the index of their pointer, to Linux 6.7; and of other pointers that an alternative calls, since then. */
  readonly pointers: ReadonlyMap<ImageAddress, ImageAddress>;
  /** Values of variables that are constants in the code: of pointers 8 bytes, of shifts 1. */
  readonly constants: ReadonlyMap<string, bigint>;
  /** Of a static call its function by the address of its key; 0 for none. */
  readonly calls: ReadonlyMap<ImageAddress, ImageAddress>;
  /** Sites that are in another state than a boot leaves them in: jump labels that jump, functions that are traced, and whereto. */
  readonly sites: ReadonlyMap<ImageAddress, SiteState>;
}

/** What a site that may change has become. */
export type SiteState =
  /** A jump label that jumps; a tail call of nothing that returns by the thunk. */
  | 'jumps'
  /** A call of this function. */
  | { readonly calls: ImageAddress };

import type { CodeImage } from './code-image.ts';

/** A signed kernel as one boot leaves it. */
export interface BootedKernel {
  readonly image: CodeImage;
  /** The state of each site. */
  readonly states: readonly number[];
}

/**
 * A signed kernel that decides parts of its code while it boots: alternatives, the thunk that returns go through, constants. What it decided, a guest names,
 * and comparing proves no more than that it is true of the memory.
 *
 * @typeParam Boot what a guest names of its boot
 */
export interface SignedKernel<Boot> {
  /** What of a boot may not be: a feature that the processor lacks, a mitigation less. None when all of it may be. */
  objections(boot: Boot, machine: { readonly processors: number }): readonly string[];
  /** Made from the signed file and from what is named, whether it may be or not. */
  booted(boot: Boot): BootedKernel;
}

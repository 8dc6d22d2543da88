import type { Gfn, MemoryMap } from '@heki/physical-memory';
import type { KernelParameters } from '../boot/boot-parameters.ts';
import type { KernelBuild } from './kernel-build.ts';
import type { KernelImage } from './kernel-image.ts';
import type { AddressLayout } from './layout.ts';

/** What a kernel was built, laid out and started as. */
export interface LayoutState {
  readonly build: KernelBuild;
  readonly layout: AddressLayout;
  readonly parameters: KernelParameters;
  readonly memoryMap: MemoryMap<Gfn>;
  readonly image: KernelImage;
  /** `undefined` without KASLR. */
  readonly kaslrSeed: number | undefined;
}

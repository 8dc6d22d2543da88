export type { BootVector, SiteState } from './build/boot-vector.ts';
export { buildText } from './build/build-text.ts';
export { type BootObjection, type BootPolicy, checkBootVector } from './build/check-boot-vector.ts';
export { readBootVector } from './build/read-boot-vector.ts';
export {
  type ComparedModule,
  type ComparedPart,
  type ComparedText,
  compareImage,
  compareModule,
  digestOf,
  type ImageComparison,
  type RunningKernel,
  type SealedSection,
  type Unexplained,
  type UpdatedStaticCall,
} from './compare-image.ts';
export {
  createImageView,
  type ImageAddress,
  type ImageRange,
  type ImageSymbols,
  type ImageView,
  imageAddress,
  imageVirtualAddress,
  type ReadLive,
} from './image-view.ts';
export { readKprobes } from './kprobes.ts';
export type { PatchSite, SiteKind } from './patch-site.ts';
export { readSites } from './read-sites.ts';

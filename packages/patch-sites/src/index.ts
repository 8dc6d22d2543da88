export {
  type ComparedModule,
  type ComparedPart,
  type ComparedText,
  compareImage,
  compareModule,
  digestOf,
  type ImageComparison,
  type ReadLive,
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
} from './image-view.ts';
export { readKprobes } from './kprobes.ts';
export type { PatchSite, SiteKind } from './patch-site.ts';
export { readSites } from './read-sites.ts';

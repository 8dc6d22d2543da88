export { type BlobReader, blobSource } from './blob-source.ts';
export { type ByteSource, bytesSource } from './byte-source.ts';
export type { PrStatus, QemuRegister, Segment, SegmentRegister, VmcoreCpu } from './cpu-note.ts';
export type { DumpWarning } from './dump-warning.ts';
export { type MemoryEncryption, memoryEndOf } from './encryption.ts';
export { VmcoreError } from './error.ts';
export type { ExtractRoot } from './extract/extract-roots.ts';
export { type Extract, type ExtractOptions, extractTables } from './extract/extract-tables.ts';
export type { Remains } from './extract/redact/remains.ts';
export { type CoreContents, type WrittenCore, writeCore } from './extract/write-core.ts';
export { type InfoTlbLeaf, infoTlbLine } from './info-tlb.ts';
export { CRASH_KERNEL, type IomemMap, type LeftOut, namesMemory, parseIomem } from './iomem.ts';
export { parseMemoryMap } from './memory-map-text.ts';
export type { Note } from './note.ts';
export { assumedRegistersOf, pagingRegistersOf, registersOn } from './paging-registers.ts';
export { type ImageEvidence, type ImageSections, imageSections } from './regions/image-sections.ts';
export {
  hasStandardBase,
  type KernelPlace,
  kernelRegions,
  REGION_NAMES,
  type Region,
  type RegionBases,
  type RegionName,
  regionAt,
} from './regions/kernel-regions.ts';
export type { VirtualRange } from './regions/virtual-range.ts';
export {
  type AddressSpaceChoice,
  type ChosenRoot,
  chosenRootOf,
  pagesIn64BitMode,
  userHalfOf,
} from './root/cpu-root.ts';
export type { DirectMap } from './root/direct-map.ts';
export { doubtsAbout, type RootDoubt } from './root/doubts.ts';
export { type KernelTables, kernelTableFrames, mappedFrame, userTableFrames } from './root/kernel-tables.ts';
export { loadedCrashKernel } from './root/loaded-crash-kernel.ts';
export { fitOfMemoryMap, type LastEntry, lastEntryAt, type MemoryMapFit } from './root/memory-map-fit.ts';
export { type ProvenRoot, proveKernelRoot, type RefusedRoot, type RootOrigin } from './root/proven-root.ts';
export { resolveKernelRoot } from './root/resolve-kernel-root.ts';
export type { VmcoreSegment } from './segment.ts';
export { type VirtualMemory, virtualMemoryOf } from './virtual-memory.ts';
export { readVmcore, type Vmcore, type VmcoreOptions } from './vmcore.ts';
export type { Vmcoreinfo } from './vmcoreinfo.ts';
export { ZSTD_MAGICS } from './zstd-magics.ts';

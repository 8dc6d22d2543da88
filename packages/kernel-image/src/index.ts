export { type ByteReader, createByteReader } from './byte-reader.ts';
export { bzImagePayload, type Compression, isBzImage, type Payload } from './bzimage.ts';
export { fileOfTar, filesOfTar, isDebianPackage, packageData } from './debian-package.ts';
export { decompressLz4Legacy } from './decompress/lz4-legacy.ts';
export type { FileByPosition } from './elf-sections.ts';
export { type ImageSymbol, readVmlinuxSymbols } from './elf-symbols.ts';
export { KernelImageError } from './error.ts';
export { type ModuleObject, type PlacedModule, parseModule, placeModule } from './module-object.ts';
export { type MovedImage, moveImage, segmentAt } from './moved-image.ts';
export { readVmlinuxRelocations } from './rela-relocations.ts';
export type { Relocations } from './relocations.ts';
export {
  type ImageSection,
  type ImageSegment,
  isElf,
  loadedBytes,
  parseVmlinux,
  type Vmlinux,
} from './vmlinux.ts';

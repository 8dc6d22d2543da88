export * from './address.ts';
export { PhysicalMemoryError } from './error.ts';
export { createFrameAllocator, type FrameAllocator } from './frame-allocator.ts';
export type { FrameRange } from './frame-range.ts';
export { createMemoryMap, type MemoryMap, type MemoryMapEntry, type MemoryType } from './memory-map.ts';
export { type AnyMount, createMountedMemory, type Mount, type MountedMemory } from './mounted-memory.ts';
export { createOverlay, type Overlay } from './overlay.ts';
export * from './physical-memory.ts';
export { createRam, type Ram } from './ram.ts';

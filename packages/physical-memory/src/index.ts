export * from './address.ts';
export { PhysicalMemoryError } from './error.ts';
export type { FrameRange } from './frame-range.ts';
export * from './physical-memory.ts';
export { createRam, type Ram } from './ram.ts';

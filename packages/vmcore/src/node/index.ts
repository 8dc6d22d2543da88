export { readMemoryMap } from './memory-map-file.ts';
export { type OpenOptions, openVmcore } from './open-vmcore.ts';

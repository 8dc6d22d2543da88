import { MACHINE_LIMITS } from '../limits.ts';

const MEBIBYTE = 2 ** 20;
const GIBIBYTE = 2 ** 30;

/** What {@link isMemorySize} accepts, in words. */
export const MEMORY_SIZE = `a number of MiB or GiB from ${MACHINE_LIMITS.leastMemory / MEBIBYTE}MiB to ${MACHINE_LIMITS.mostMemory / GIBIBYTE}GiB`;

/** Whether `text` is an amount of RAM that a machine may have: `512MiB`. */
export function isMemorySize(text: string): boolean {
  if (!/^[1-9]\d{0,8}(MiB|GiB)$/.test(text)) return false;
  const bytes = memoryBytes(text);
  return bytes >= MACHINE_LIMITS.leastMemory && bytes <= MACHINE_LIMITS.mostMemory;
}

/** Bytes of an amount of RAM as specifications have it. */
export function memoryBytes(memory: string): number {
  return Number.parseInt(memory, 10) * (memory.endsWith('GiB') ? GIBIBYTE : MEBIBYTE);
}

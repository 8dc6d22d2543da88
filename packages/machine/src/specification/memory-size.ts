const MEBIBYTE = 2 ** 20;
const GIBIBYTE = 2 ** 30;
/** The kernel image and its tables need that much. */
const LEAST = 64 * MEBIBYTE;
/** A life ends with a look at every page. */
const MOST = 256 * GIBIBYTE;

/** What {@link isMemorySize} accepts, in words. */
export const MEMORY_SIZE = 'a number of MiB or GiB from 64MiB to 256GiB';

/** Whether `text` is an amount of RAM that a machine may have: `512MiB`. */
export function isMemorySize(text: string): boolean {
  if (!/^[1-9]\d{0,8}(MiB|GiB)$/.test(text)) return false;
  const bytes = memoryBytes(text);
  return bytes >= LEAST && bytes <= MOST;
}

/** Bytes of an amount of RAM as specifications have it. */
export function memoryBytes(memory: string): number {
  return Number.parseInt(memory, 10) * (memory.endsWith('GiB') ? GIBIBYTE : MEBIBYTE);
}

import { type Gpa, PAGE_SIZE } from '@heki/physical-memory';
import type { DumpFormat } from '../dump-format.ts';
import { imageContents } from './image.ts';

/** No Linux runs in less. */
const LEAST_BYTES = 2 ** 20;

/**
 * Memory as it is, every byte at its physical address: QEMU's `pmemsave`, VMware's .vmem. Nothing in it says that it is one:
 * this is what a file of whole pages is taken for that is nothing else.
 */
export const rawImage: DumpFormat = {
  looksAt: 0,
  recognises: (_, { size }) => size >= LEAST_BYTES && size % PAGE_SIZE === 0,
  read(source, settings) {
    const whole = { start: 0 as Gpa, end: source.size as Gpa, fileOffset: 0 };
    return imageContents(source, [whole], settings, 'raw image');
  },
};

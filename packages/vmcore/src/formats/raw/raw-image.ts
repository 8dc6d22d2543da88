import { type Gpa, PAGE_SIZE } from '@heki/physical-memory';
import type { DumpFormat } from '../dump-format.ts';
import { imageContents, searchUpTo64GiB } from './image.ts';
import { segmentsAroundHole } from './pci-hole.ts';

/** No Linux runs in less. */
const LEAST_BYTES = 2 ** 20;

/**
 * Memory as it is: every byte at its physical address (QEMU's `pmemsave`), or all RAM of a virtual machine without the PCI hole (QEMU's
 * `memory-backend-file`, VMware's .vmem). Nothing in it says that it is one:
 * this is what a file of whole pages is taken for that is nothing else.
 */
export const rawImage: DumpFormat = {
  looksAt: 0,
  recognises: (_, { size }) => size >= LEAST_BYTES && size % PAGE_SIZE === 0,
  read(source, settings) {
    const whole = [{ start: 0 as Gpa, end: source.size as Gpa, fileOffset: 0 }];
    const search = searchUpTo64GiB(source, whole);
    const plain = imageContents(source, whole, search, settings, 'raw image');
    if (search === undefined) return plain;
    const around = segmentsAroundHole(plain, search, source);
    if (around === undefined) return plain;
    const { segments, rootLikePages, lowEnd } = around;
    const format = `raw image of RAM, that from 0x${lowEnd.toString(16)} on at 4 GiB`;
    return imageContents(source, segments, { ...search, rootLikePages }, settings, format);
  },
};

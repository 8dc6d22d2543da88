import { type Gpa, PAGE_SIZE, PHYSICAL_ADDRESS_END } from '@heki/physical-memory';
import { readFields } from '../../byte-source.ts';
import type { DumpWarning } from '../../dump-warning.ts';
import { VmcoreError } from '../../error.ts';
import { DUMP_LIMITS } from '../../limits.ts';
import { uppermost } from '../../range.ts';
import { type DumpFormat, hasText } from '../dump-format.ts';
import { imageContents, searchUpTo64GiB } from './image.ts';

/** Before each range of memory: magic, version, first and last address, 8 bytes that are reserved. */
const HEADER_SIZE = 32;
const MAGIC = 'EMiL';

/** The format of LiME, the Linux Memory Extractor, which avml and others write, too. */
export const lime: DumpFormat = {
  looksAt: 4,
  recognises: (start) => hasText(start, MAGIC),
  read(source, settings) {
    const ranges: { start: number; end: number; delta: number }[] = [];
    const warnings: DumpWarning[] = [];
    for (let at = 0; at < source.size; ) {
      if (at > 0 && at + HEADER_SIZE > source.size) {
        warnings.push(cutShort('within the header of a range: what was to follow is absent'));
        break;
      }
      const header = readFields(source, at, HEADER_SIZE);
      if (!hasText(new Uint8Array(header.buffer), MAGIC)) {
        throw new VmcoreError(`no range of LiME: expected "${MAGIC}"`, { offset: at });
      }
      const version = header.getUint32(4, true);
      if (version !== 1)
        throw new VmcoreError(`a range of LiME version ${version}: expected 1`, { offset: at + 4 });
      const start = header.getBigUint64(8, true);
      const lastByte = header.getBigUint64(16, true);
      if (lastByte < start || lastByte >= BigInt(PHYSICAL_ADDRESS_END)) {
        throw new VmcoreError(
          `a range from 0x${start.toString(16)} to 0x${lastByte.toString(16)}: expected addresses of at most 52 bits, the first first`,
          { offset: at + 8 },
        );
      }
      if (ranges.length === DUMP_LIMITS.limeRanges)
        throw new VmcoreError(`more than ${DUMP_LIMITS.limeRanges} ranges`, { offset: at });
      const length = Number(lastByte - start) + 1;
      const data = at + HEADER_SIZE;
      const held = Math.min(length, source.size - data);
      const heldTo = Number(start) + held;
      // Of a range that was cut short, whole pages are taken.
      const end = held === length ? heldTo : heldTo - (heldTo % PAGE_SIZE);
      ranges.push({ start: Number(start), end, delta: data - Number(start) });
      if (held < length) {
        const missing = `0x${(length - held).toString(16)} bytes of memory`;
        warnings.push(cutShort(`${missing} lie behind the end of the file, and are absent`));
      }
      at = data + length;
    }
    const segments = uppermost(ranges).map(({ start, end, delta }) => ({
      start: start as Gpa,
      end: end as Gpa,
      fileOffset: start + delta,
    }));
    const image = imageContents(source, segments, searchUpTo64GiB(source, segments), settings, 'LiME image');
    return { ...image, warnings: [...warnings, ...image.warnings] };
  },
};

function cutShort(where: string): DumpWarning {
  return { id: 'truncated', message: `the dump was cut short: ${where}` };
}

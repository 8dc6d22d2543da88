import type { ByteSource } from '../byte-source.ts';
import { VmcoreError } from '../error.ts';
import type { DumpContents, DumpFormat, ReadSettings } from './dump-format.ts';
import { elfCore } from './elf/elf-core.ts';
import { otherFile } from './other-files.ts';

/** Every format, in the order in which they are tried. A new one is a file, and a line here. */
const FORMATS: readonly DumpFormat[] = [elfCore, otherFile];

/** What is in the dump, whose format its content tells. @throws {VmcoreError} when it is none that is read, or damaged */
export function readContents(source: ByteSource, settings: ReadSettings): DumpContents {
  if (source.size === 0) throw new VmcoreError("the file is empty: expected a guest's memory", { offset: 0 });
  const start = new Uint8Array(Math.min(source.size, Math.max(...FORMATS.map(({ looksAt }) => looksAt))));
  source.read(0, start);
  const format = FORMATS.find((one) => one.recognises(start, source));
  if (format === undefined) {
    throw new VmcoreError('no memory dump of any known format: expected an ELF core', { offset: 0 });
  }
  return format.read(source, settings);
}

import type { ByteSource } from '../byte-source.ts';
import { VmcoreError } from '../error.ts';
import type { DumpContents, DumpFormat, ReadSettings } from './dump-format.ts';
import { elfCore } from './elf/elf-core.ts';
import { isFlattened, unflatten } from './kdump/flattened.ts';
import { kdump } from './kdump/kdump.ts';
import { otherFile } from './other-files.ts';
import { lime } from './raw/lime.ts';
import { rawImage } from './raw/raw-image.ts';
import { joinParts } from './split-dump.ts';

/** Every format, in the order in which they are tried. A new one is a file, and a line here. */
const FORMATS: readonly DumpFormat[] = [elfCore, kdump, lime, otherFile, rawImage];

/**
 * What is in the dump, whose format its content tells; of one that was split, in all of its files.
 *
 * @throws {VmcoreError} when it is not one that is read, or damaged
 */
export function readContents(sources: readonly ByteSource[], settings: ReadSettings): DumpContents {
  const joined = joinParts(sources.map((source) => readFile(source, settings)));
  const told = new Map(
    sources.flatMap(({ warning }) => (warning === undefined ? [] : [[warning.id, warning]])),
  );
  return told.size === 0
    ? joined
    : Object.assign(joined, { warnings: [...joined.warnings, ...told.values()] });
}

function readFile(source: ByteSource, settings: ReadSettings): DumpContents {
  if (source.size === 0) throw new VmcoreError("the file is empty: expected a guest's memory", { offset: 0 });
  const start = startOf(source);
  if (isFlattened(start)) {
    const { source: inner, cut } = unflatten(source);
    const contents = readInner(inner, startOf(inner), { ...settings, isCut: cut });
    if (!cut) return contents;
    const message = 'the flattened dump has no end: it was cut short, and the pages behind are absent';
    return Object.assign(contents, { warnings: [...contents.warnings, { id: 'truncated', message }] });
  }
  return readInner(source, start, settings);
}

function startOf(source: ByteSource): Uint8Array {
  const start = new Uint8Array(Math.min(source.size, Math.max(...FORMATS.map(({ looksAt }) => looksAt))));
  source.read(0, start);
  return start;
}

function readInner(source: ByteSource, start: Uint8Array, settings: ReadSettings): DumpContents {
  const format = FORMATS.find((one) => one.recognises(start, source));
  if (format === undefined) {
    throw new VmcoreError(
      'no memory dump of any known format: expected an ELF core, a kdump, LiME, or raw memory of whole pages',
      {
        offset: 0,
      },
    );
  }
  return format.read(source, settings);
}

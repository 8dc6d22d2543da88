import type { Gfn, PhysicalMemory } from '@heki/physical-memory';
import type { ByteSource } from '../byte-source.ts';
import type { DumpWarning } from '../dump-warning.ts';
import type { Note } from '../note.ts';
import type { VmcoreSegment } from '../segment.ts';

/** The frames `start` .. `end` - 1 of a dump of `of` frames that was split. */
export interface DumpPart {
  readonly start: number;
  readonly end: number;
  readonly of: number;
  /** The same in all parts of one dump. */
  readonly identity: string;
}

/** What is in a dump, whatever its format. Everything else is found in it. */
export interface DumpContents {
  /** For people: `ELF core`. */
  readonly format: string;
  /** Absent where the dump holds nothing; a read that fails throws. */
  readonly memory: PhysicalMemory<Gfn>;
  /** What it holds, sorted by address and apart. */
  readonly segments: readonly VmcoreSegment[];
  readonly notes: readonly Note[];
  readonly warnings: readonly DumpWarning[];
  /** The frames with the structure of a root table, ascending, where every page was looked at anyway. */
  readonly rootLikePages?: readonly Gfn[] | undefined;
  /** Which part it is, where a dump was split. */
  readonly part?: DumpPart | undefined;
}

/** What a zlib stream (RFC 1950) unpacks to: not more than `most` bytes. @throws when it is damaged, or longer */
export type Inflate = (packed: Uint8Array, most: number) => Uint8Array;

/** How a dump is read. */
export interface ReadSettings {
  /** Pages to keep in memory at most. */
  readonly cachePages: number;
  /** What unpacks a page that zlib packed, where it is not done in JavaScript. */
  readonly inflate?: Inflate | undefined;
  /** Whether the file is known to be cut short, by what it was packed in. */
  readonly isCut?: boolean;
}

/** One form in which the memory of a guest is kept. */
export interface DumpFormat {
  /** Bytes at the start of the file that `recognises` wants to see. */
  readonly looksAt: number;
  /** Whether a file that begins with `start` is one; it may be shorter than `looksAt`. */
  recognises(start: Uint8Array, source: ByteSource): boolean;
  /** @throws {VmcoreError} when it is damaged, or is known and cannot be read: then with what to do */
  read(source: ByteSource, settings: ReadSettings): DumpContents;
}

/** Whether `bytes` have `text`, in Latin-1, at `offset`. */
export function hasText(bytes: Uint8Array, text: string, offset = 0): boolean {
  for (let index = 0; index < text.length; index++) {
    if (bytes[offset + index] !== text.charCodeAt(index)) return false;
  }
  return true;
}

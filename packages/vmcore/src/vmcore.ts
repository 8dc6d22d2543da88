import type { Gfn, PhysicalMemory } from '@heki/physical-memory';
import { type ByteSource, bytesSource } from './byte-source.ts';
import { type PrStatus, readCpus, readPrStatus, type VmcoreCpu } from './cpu-note.ts';
import type { DumpWarning } from './dump-warning.ts';
import { findEncryption, type MemoryEncryption } from './encryption.ts';
import { VmcoreError } from './error.ts';
import type { DumpContents, Inflate } from './formats/dump-format.ts';
import { readContents } from './formats/formats.ts';
import { DUMP_LIMITS } from './limits.ts';
import type { Note } from './note.ts';
import type { VmcoreSegment } from './segment.ts';
import { readVmcoreinfo, type Vmcoreinfo, vmcoreinfosDiffer } from './vmcoreinfo.ts';

/** 64 GiB. */
const MAX_CACHE_PAGES = 2 ** 24;

const DIFFERENT: DumpWarning = {
  id: 'vmcoreinfo-differs',
  message:
    "there are copies of VMCOREINFO that say different things, as where another kernel's dump lies in memory: none is believed",
};

/** A guest's memory and CPUs, as a dump holds them. */
export interface Vmcore {
  /** The format of the dump, for people: `ELF core`. */
  readonly format: string;
  /**
   * The guest's memory. Absent where the dump holds no byte of a page; what cannot be read throws a VmcoreError. It
   * cannot be written: writablePage throws; put an overlay over it.
   */
  readonly memory: PhysicalMemory<Gfn>;
  /** What the dump holds, sorted by address. */
  readonly segments: readonly VmcoreSegment[];
  /** The CPUs with their control registers, from the notes that QEMU writes; empty in dumps of others. */
  readonly cpus: readonly VmcoreCpu[];
  /** The CPUs as debuggers see them. */
  readonly threads: readonly PrStatus[];
  /** What the kernel tells about itself; `undefined` when the guest had no vmcoreinfo device, or there are copies that differ. */
  readonly vmcoreinfo: Vmcoreinfo | undefined;
  /** Memory encryption, if it is on: entries and CR3 have a bit that is not part of the address. Found when it is asked for. */
  readonly encryption: MemoryEncryption | undefined;
  /** Every note, in file order. */
  readonly notes: readonly Note[];
  /** What a reader must know of the dump as a file: that it was cut short. */
  readonly warnings: readonly DumpWarning[];
  /** The frames with the structure of a root table, ascending, where every page can be looked at in large pieces; found when it is asked for, but of raw images, which are looked through when they are opened. */
  readonly rootLikePages?: readonly Gfn[] | undefined;
  /** Closes the file. Pages already read stay valid; others can no longer be read. */
  close(): void;
}

/** How a dump is read. */
export interface VmcoreOptions {
  /** Pages to keep in memory, rounded up to a power of two. Default 8192, 32 MiB. */
  readonly cachePages?: number;
  /** The C-bit, 32 .. 51, of a guest whose memory is encrypted. Default: by VMCOREINFO, or else by the page tables. */
  readonly encryptionBit?: number | undefined;
  /** What unpacks the zlib pages of a kdump. Default: JavaScript, which runs anywhere; `@heki/vmcore/node` takes Node's, in half the time. */
  readonly inflate?: Inflate | undefined;
}

/**
 * Reads a dump of an x86-64 guest, whose format is told by its content. Headers and notes are read at once, and pages when they
 * are asked for; those of an ELF core in memory are views of its bytes, where their alignment allows.
 *
 * @param dump its file, or the parts of one that was split
 * @throws {VmcoreError} when it is not a dump that can be read, with the offset of what is wrong
 */
export function readVmcore(
  dump: Uint8Array | ByteSource | readonly ByteSource[],
  options: VmcoreOptions = {},
): Vmcore {
  const { cachePages = DUMP_LIMITS.cachedPages, inflate } = options;
  if (!Number.isSafeInteger(cachePages) || cachePages < 1 || cachePages > MAX_CACHE_PAGES) {
    throw new VmcoreError(`cachePages is ${cachePages}: expected 1 to ${MAX_CACHE_PAGES}`);
  }
  const sources = dump instanceof Uint8Array ? [bytesSource(dump)] : 'read' in dump ? [dump] : dump;
  return vmcoreOf(readContents(sources, { cachePages, inflate }), options, () => {
    for (const source of sources) source.close();
  });
}

/** What is found in `contents`, wherever they come from. */
export function vmcoreOf(
  contents: DumpContents,
  { encryptionBit }: VmcoreOptions,
  close: () => void,
): Vmcore {
  if (encryptionBit !== undefined && !(encryptionBit >= 32 && encryptionBit <= 51)) {
    throw new VmcoreError(`encryptionBit is ${encryptionBit}: expected 32 to 51`);
  }
  const { format, memory, notes } = contents;
  const warnings = vmcoreinfosDiffer(notes) ? [...contents.warnings, DIFFERENT] : contents.warnings;
  let encryption: { readonly found: MemoryEncryption | undefined } | undefined =
    encryptionBit === undefined ? undefined : { found: { bit: encryptionBit, from: 'given' } };
  const core: Vmcore = {
    format,
    memory,
    // A kdump's bitmap is told as segments when someone asks.
    get segments() {
      return contents.segments;
    },
    cpus: readCpus(notes),
    threads: readPrStatus(notes),
    vmcoreinfo: readVmcoreinfo(notes),
    get encryption() {
      encryption ??= { found: findEncryption(core) };
      return encryption.found;
    },
    notes,
    warnings,
    get rootLikePages() {
      return contents.rootLikePages;
    },
    close,
  };
  return core;
}

import type { Gfn, PhysicalMemory } from '@heki/physical-memory';
import { type ByteSource, bytesSource } from './byte-source.ts';
import { type PrStatus, readCpus, readPrStatus, type VmcoreCpu } from './cpu-note.ts';
import { readProgramHeaders } from './elf-header.ts';
import { findEncryption, type MemoryEncryption } from './encryption.ts';
import { VmcoreError } from './error.ts';
import { openSource } from './file-source.ts';
import { type Note, readNotes } from './note.ts';
import { readSegments, type VmcoreSegment } from './segment.ts';
import { createSegmentMemory } from './segment-memory.ts';
import { readVmcoreinfo, type Vmcoreinfo } from './vmcoreinfo.ts';

/** 64 GiB. */
const MAX_CACHE_PAGES = 2 ** 24;

/** A guest's memory and CPUs, as a dump holds them. */
export interface Vmcore {
  /**
   * The guest's memory. Absent where the dump holds no byte of a page. It cannot be written: writablePage throws a
   * VmcoreError; put an overlay over it.
   */
  readonly memory: PhysicalMemory<Gfn>;
  /** What the dump holds, sorted by address. */
  readonly segments: readonly VmcoreSegment[];
  /** The CPUs with their control registers, from the notes that QEMU writes; empty in dumps of others. */
  readonly cpus: readonly VmcoreCpu[];
  /** The CPUs as debuggers see them. */
  readonly threads: readonly PrStatus[];
  /** What the kernel tells about itself; `undefined` when the guest had no vmcoreinfo device. */
  readonly vmcoreinfo: Vmcoreinfo | undefined;
  /** Memory encryption, if it is on: entries and CR3 have a bit that is no part of the address. Found when it is asked for. */
  readonly encryption: MemoryEncryption | undefined;
  /** Every note, in file order. */
  readonly notes: readonly Note[];
  /** Closes the file. Pages already read stay valid; others can no longer be read. */
  close(): void;
}

/** How a dump is read. */
export interface VmcoreOptions {
  /** Pages of a file to keep in memory, rounded up to a power of two. Default 8192, 32 MiB. */
  readonly cachePages?: number;
  /** Most bytes that a gzip file may inflate to. Default 2^30. While it is inflated, twice as much is in use. */
  readonly maxInflatedBytes?: number;
  /** The C-bit, 32 .. 51, of a guest whose memory is encrypted. Default: by VMCOREINFO, or else by the page tables. */
  readonly encryptionBit?: number;
}

/**
 * Opens an ELF core of an x86-64 guest as QEMU's `dump-guest-memory` writes it (`paging` false), plain or gzip. Of a
 * plain file only headers and notes are read at once, and pages when they are asked for.
 *
 * @throws {VmcoreError} when the file cannot be read or is no such core, with the offset of what is wrong
 */
export function openVmcore(path: string, options: VmcoreOptions = {}): Vmcore {
  const source = openSource(path, options.maxInflatedBytes ?? 2 ** 30);
  try {
    return readSource(source, options);
  } catch (error) {
    source.close();
    throw error;
  }
}

/**
 * Reads an ELF core from memory. Pages are views of `bytes` where its alignment allows.
 *
 * @throws {VmcoreError} when `bytes` is no such core, with the offset of what is wrong
 */
export function readVmcore(
  bytes: Uint8Array,
  options: Pick<VmcoreOptions, 'cachePages' | 'encryptionBit'> = {},
): Vmcore {
  return readSource(bytesSource(bytes), options);
}

function readSource(source: ByteSource, { cachePages = 8192, encryptionBit }: VmcoreOptions): Vmcore {
  if (!Number.isSafeInteger(cachePages) || cachePages < 1 || cachePages > MAX_CACHE_PAGES) {
    throw new VmcoreError(`cachePages is ${cachePages}: expected 1 to ${MAX_CACHE_PAGES}`);
  }
  if (encryptionBit !== undefined && !(encryptionBit >= 32 && encryptionBit <= 51)) {
    throw new VmcoreError(`encryptionBit is ${encryptionBit}: expected 32 to 51`);
  }
  const headers = readProgramHeaders(source);
  const segments = readSegments(headers);
  const notes = readNotes(source, headers);
  const read = {
    memory: createSegmentMemory(source, segments, cachePages),
    segments,
    cpus: readCpus(notes),
    threads: readPrStatus(notes),
    vmcoreinfo: readVmcoreinfo(notes),
    notes,
    close: () => source.close(),
  };
  let encryption: { readonly found: MemoryEncryption | undefined } | undefined =
    encryptionBit === undefined ? undefined : { found: { bit: encryptionBit, from: 'given' } };
  return {
    ...read,
    get encryption() {
      encryption ??= { found: findEncryption(read) };
      return encryption.found;
    },
  };
}

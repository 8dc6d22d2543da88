import { closeSync, openSync, writeSync } from 'node:fs';
import { gfn, PAGE_SIZE, virtualAddressOf } from '@heki/physical-memory';
import { resolveKernelRoot } from '@heki/vmcore';
import { withDump } from './expect.ts';

const [PT_LOAD, PT_NOTE] = [1, 4];
const HEADER_SIZE = 64;
const PROGRAM_HEADER_SIZE = 56;
const CHUNK_PAGES = 256;
/** Of the kernel's image, which has a PT_LOAD of its own by its own virtual address. */
const IMAGE_BYTES = 2 ** 24;

/**
 * Writes the core at `elf` anew as Linux lays /proc/vmcore out for makedumpfile (kexec-tools, crashdump-elf.c): the kernel's image, then
 * every range of RAM by its virtual address in the direct map; notes without QEMU's.
 */
export function writeProcVmcore(elf: string, iomem: readonly string[], output: string): void {
  withDump(elf, (core) => {
    const { vmcoreinfo, notes, memory } = core;
    const text = vmcoreinfo?.symbol('_stext');
    if (vmcoreinfo === undefined || text === undefined) throw new Error(`${elf} has no VMCOREINFO`);
    const directMap = virtualAddressOf(resolveKernelRoot(core).directMap.start);
    const image = {
      virtual: text as bigint,
      start: vmcoreinfo.physicalAddress(text) ?? 0,
      bytes: IMAGE_BYTES,
    };
    const loads = [
      image,
      ...ramOf(iomem).map(({ start, end }) => ({
        virtual: directMap + BigInt(start),
        start,
        bytes: end - start,
      })),
    ];
    const noteBytes = Buffer.concat(
      notes.filter(({ name }) => name === 'CORE' || name === 'VMCOREINFO').map(noteOf),
    );
    const count = loads.length + 1;
    const notesAt = HEADER_SIZE + count * PROGRAM_HEADER_SIZE;
    const head = Buffer.alloc(pagesFor(notesAt + noteBytes.length) * PAGE_SIZE);
    writeHeader(head, count);
    noteBytes.copy(head, notesAt);
    writeProgramHeader(head, 0, {
      type: PT_NOTE,
      offset: notesAt,
      virtual: 0n,
      start: notesAt,
      bytes: noteBytes.length,
    });
    const zeroes = Buffer.alloc(CHUNK_PAGES * PAGE_SIZE);
    const file = openSync(output, 'w');
    try {
      let offset = head.length;
      for (const [index, load] of loads.entries()) {
        writeProgramHeader(head, index + 1, { type: PT_LOAD, offset, ...load });
        for (let done = 0; done < load.bytes; done += CHUNK_PAGES * PAGE_SIZE) {
          const chunk = Buffer.alloc(Math.min(CHUNK_PAGES * PAGE_SIZE, load.bytes - done));
          for (let at = 0; at < chunk.length; at += PAGE_SIZE) {
            const page = memory.page(gfn((load.start + done + at) / PAGE_SIZE));
            if (page !== undefined) Buffer.from(Uint32Array.from(page).buffer).copy(chunk, at);
          }
          // A file has zeroes where nothing was written.
          if (!chunk.equals(zeroes.subarray(0, chunk.length)))
            writeSync(file, chunk, 0, chunk.length, offset + done);
        }
        offset += load.bytes;
      }
      writeSync(file, Buffer.alloc(1), 0, 1, offset - 1);
      writeSync(file, head, 0, head.length, 0);
    } finally {
      closeSync(file);
    }
  });
}

/** The whole pages of System RAM. */
function ramOf(iomem: readonly string[]): { readonly start: number; readonly end: number }[] {
  return iomem.flatMap((line) => {
    const [, first = '', last = ''] = /^([0-9a-f]+)-([0-9a-f]+) : System RAM/.exec(line) ?? [];
    if (first === '') return [];
    const start = pagesFor(Number.parseInt(first, 16)) * PAGE_SIZE;
    const end = Math.floor((Number.parseInt(last, 16) + 1) / PAGE_SIZE) * PAGE_SIZE;
    return start < end ? [{ start, end }] : [];
  });
}

function pagesFor(bytes: number): number {
  return Math.ceil(bytes / PAGE_SIZE);
}

function noteOf({
  name,
  type,
  descriptor,
}: {
  readonly name: string;
  readonly type: number;
  readonly descriptor: Uint8Array;
}): Buffer {
  const head = Buffer.alloc(12);
  head.writeUInt32LE(name.length + 1, 0);
  head.writeUInt32LE(descriptor.length, 4);
  head.writeUInt32LE(type, 8);
  const padded = (bytes: Uint8Array) => Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]);
  return Buffer.concat([head, padded(Buffer.from(`${name}\0`)), padded(descriptor)]);
}

function writeHeader(head: Buffer, count: number): void {
  head.write('\x7fELF\x02\x01\x01', 'latin1');
  head.writeUInt16LE(4, 16);
  head.writeUInt16LE(62, 18);
  head.writeUInt32LE(1, 20);
  head.writeBigUInt64LE(BigInt(HEADER_SIZE), 32);
  head.writeUInt16LE(HEADER_SIZE, 52);
  head.writeUInt16LE(PROGRAM_HEADER_SIZE, 54);
  head.writeUInt16LE(count, 56);
}

function writeProgramHeader(
  head: Buffer,
  index: number,
  {
    type,
    offset,
    virtual,
    start,
    bytes,
  }: {
    readonly type: number;
    readonly offset: number;
    readonly virtual: bigint;
    readonly start: number;
    readonly bytes: number;
  },
): void {
  const at = HEADER_SIZE + index * PROGRAM_HEADER_SIZE;
  head.writeUInt32LE(type, at);
  const fields = [
    BigInt(offset),
    virtual,
    BigInt(start),
    BigInt(bytes),
    BigInt(bytes),
    type === PT_LOAD ? 4096n : 4n,
  ];
  for (const [place, value] of fields.entries()) head.writeBigUInt64LE(value, at + 8 + place * 8);
}

import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { createRam, type Gfn, type Gpa, gfn, type Ram, writeBytes } from '@heki/physical-memory';

/** The page tables of a real kernel, out of an ELF core that holds nothing else. */
export interface KernelTables {
  readonly memory: Ram<Gfn>;
  readonly cr3: bigint;
}

const PT_LOAD = 1;
const PT_NOTE = 4;

/** Reads `fixtures/NAME.elf.gz`, which must be a well-formed core of QEMU with one PT_NOTE. */
export function readKernelTables(name: string): KernelTables {
  const bytes = gunzipSync(readFileSync(`fixtures/${name}.elf.gz`));
  const memory = createRam<Gfn>({ ranges: [{ start: gfn(0), end: gfn(2 ** 22) }] });
  const headers = Number(bytes.readBigUInt64LE(32));
  let cr3 = 0n;
  for (let i = 0; i < bytes.readUInt16LE(56); i++) {
    const header = headers + i * bytes.readUInt16LE(54);
    const type = bytes.readUInt32LE(header);
    const offset = Number(bytes.readBigUInt64LE(header + 8));
    const data = bytes.subarray(offset, offset + Number(bytes.readBigUInt64LE(header + 32)));
    if (type === PT_LOAD) writeBytes<Gfn>(memory, Number(bytes.readBigUInt64LE(header + 24)) as Gpa, data);
    if (type === PT_NOTE) cr3 = cr3OfNotes(data);
  }
  return { memory, cr3 };
}

/** CR3 from the first `QEMU` note: version, size, 18 general registers, 10 segments, then CR0 to CR4. */
function cr3OfNotes(notes: Buffer): bigint {
  for (let at = 0; at < notes.length; ) {
    const name = notes.readUInt32LE(at);
    const descriptor = at + 12 + 4 * Math.ceil(name / 4);
    if (notes.toString('latin1', at + 12, at + 16) === 'QEMU') {
      return notes.readBigUInt64LE(descriptor + 8 + 18 * 8 + 10 * 24 + 3 * 8);
    }
    at = descriptor + 4 * Math.ceil(notes.readUInt32LE(at + 4) / 4);
  }
  throw new Error('the core has no QEMU note');
}

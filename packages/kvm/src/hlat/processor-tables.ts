import {
  type Gfn,
  type Gpa,
  type PhysicalMemory,
  readBytes,
  VIRTUAL_FRAME_END,
  type VirtualAddress,
  type VirtualFrame,
  virtualAddress,
  virtualFrameOf,
} from '@heki/physical-memory';
import type { Vcpu } from '@heki/vcpu';
import { type PagingLevels, walkMappings } from '@heki/x86';
import type { LinearRange } from './options.ts';

/** Where a processor's tables are mapped, and with what root. */
export interface LinearMemory {
  readonly memory: PhysicalMemory<Gfn>;
  readonly root: Gfn;
  readonly levels: PagingLevels;
}

/** The linear addresses of the IDT, the GDT and the TSS that a virtual CPU uses. */
export function descriptorTables(vcpu: Vcpu, linear: LinearMemory): readonly LinearRange[] {
  const { gdtr, idtr, tr } = vcpu.registers;
  const tables = [rangeOf(gdtr.base, gdtr.limit)];
  if (idtr !== undefined) tables.push(rangeOf(idtr.base, idtr.limit));
  // Selector bits 1:0 are the RPL, bit 2 says LDT, where no TSS can be (SDM 3A 3.4.2, 8.2.4).
  const index = tr - (tr % 8);
  const descriptor = index === 0 ? undefined : readLinear(linear, gdtr.base + BigInt(index), 16);
  if (descriptor !== undefined) tables.push(tssRange(descriptor));
  return tables;
}

/** A TSS descriptor in 64-bit mode (SDM 3A 8.2.3): limit 15:0, base 23:0, type, limit 19:16, base 31:24, base 63:32. */
function tssRange(descriptor: Uint8Array): LinearRange {
  const byte = (at: number): number => descriptor[at] ?? 0;
  const limit = byte(0) + byte(1) * 2 ** 8 + (byte(6) % 16) * 2 ** 16;
  const base = [2, 3, 4, 7, 8, 9, 10, 11]
    .map(byte)
    .reduceRight((sum, value) => sum * 256n + BigInt(value), 0n);
  return rangeOf(base, limit);
}

function rangeOf(base: bigint, limit: number): LinearRange {
  const first = BigInt.asUintN(64, base) >> 12n;
  const end = (BigInt.asUintN(64, base) + BigInt(limit)) / 4096n + 1n;
  return {
    start: Number(first) as VirtualFrame,
    end: Math.min(Number(end), VIRTUAL_FRAME_END) as VirtualFrame,
  };
}

/** Bytes at a linear address that do not cross a page, or `undefined`. */
function readLinear(linear: LinearMemory, address: bigint, length: number): Uint8Array | undefined {
  const va: VirtualAddress = virtualAddress(BigInt.asUintN(64, address));
  const frame = virtualFrameOf(va);
  const offset = Number(va & 0xfffn);
  if (offset + length > 4096) return undefined;
  let found: Uint8Array | undefined;
  walkMappings(linear, frame, (frame + 1) as VirtualFrame, ({ guestFrame }) => {
    const bytes = new Uint8Array(length);
    if (readBytes(linear.memory, (guestFrame * 4096 + offset) as Gpa, bytes) === length) found = bytes;
  });
  return found;
}

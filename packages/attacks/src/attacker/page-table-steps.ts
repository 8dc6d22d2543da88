import type { Attacker } from '@heki/machine';
import { addressOf, type Gfn, hex, PAGE_SIZE, type VirtualAddress } from '@heki/physical-memory';
import { EntryLow } from '@heki/x86';
import { NotExpressible } from '../attack/not-expressible.ts';
import { PAYLOAD_QUAD } from '../kernel/functions.ts';
import type { Lab } from './lab.ts';

/** Bits 51:12 of an entry, and those of a leaf of 2 MiB (bit 12 is PAT there, SDM 3A table 4-18). */
const FRAME_BITS = 0x000f_ffff_ffff_f000n;
const LARGE_FRAME_BITS = 0x000f_ffff_ffe0_0000n;
const PS = BigInt(EntryLow.PS);

/** What an attacker does with page tables, by stores through the direct map. */
export type PageTableSteps = Pick<Lab, 'frameOf' | 'direct' | 'edit' | 'pointAt' | 'plant'>;

/** @param page gives a page of the attacker's own */
export function createPageTableSteps(options: {
  readonly cpu: Attacker;
  readonly directMap: bigint;
  readonly page: () => VirtualAddress;
}): PageTableSteps {
  const { cpu, directMap, page } = options;
  const steps: PageTableSteps = {
    frameOf(va) {
      const frame = cpu.frameOf(va);
      if (frame === undefined) throw new NotExpressible(`nothing is mapped at ${hex(va)}`);
      return frame;
    },
    direct: (frame: Gfn, offset = 0) => (directMap + BigInt(addressOf(frame) + offset)) as VirtualAddress,
    edit(va, change) {
      for (const { address, value } of cpu.findEntries(va) ?? []) {
        if (change(value) !== value) cpu.store(address, 8, change(value));
      }
      cpu.flush(va);
    },
    pointAt(va, frame, on = cpu) {
      let leaf = on.findEntries(va)?.at(-1);
      if (leaf?.level === 2) {
        split(va, on);
        leaf = on.findEntries(va)?.at(-1);
      }
      if (leaf === undefined) throw new NotExpressible(`nothing is mapped at ${hex(va)}`);
      if (leaf.level !== 1) throw new NotExpressible(`a leaf of level ${leaf.level} maps ${hex(va)}`);
      on.store(leaf.address, 8, (leaf.value & ~FRAME_BITS) | (BigInt(frame) << 12n));
      on.flush(va);
    },
    plant: (va, on = cpu) => void on.store(va, 8, PAYLOAD_QUAD),
  };

  /** Puts a table of the attacker's in the place of a leaf of 2 MiB, which maps the same. */
  function split(va: VirtualAddress, on: Attacker): void {
    const leaf = on.findEntries(va)?.at(-1);
    if (leaf === undefined) return;
    const table = page();
    const bits = leaf.value & ~FRAME_BITS & ~PS;
    const base = leaf.value & LARGE_FRAME_BITS;
    for (let index = 0; index < 512; index++)
      on.store((table + BigInt(8 * index)) as VirtualAddress, 8, (base + BigInt(index * PAGE_SIZE)) | bits);
    const way = BigInt(EntryLow.P | EntryLow.RW | EntryLow.A | (Number(leaf.value & 7n) & EntryLow.US));
    on.store(leaf.address, 8, (BigInt(steps.frameOf(table)) << 12n) | way);
    on.flush(va);
  }

  return steps;
}

import { type Gfn, hex, PAGE_SIZE, type VirtualFrame, virtualAddressOf } from '@heki/physical-memory';
import { type ProvenRoot, regionAt } from '@heki/vmcore';
import { addressHigh, CR0, EntryLow, entryFrame, framesOfLevel, upperHalfStart } from '@heki/x86';
import type { FindingKind } from '../finding.ts';
import { occurrenceWithoutMemory } from '../occurrence.ts';

/** The first slot of the kernel's half in a root table. */
const KERNEL_SLOT = 256;

export const KERNEL_HALF_DIFFERS: FindingKind = {
  id: 'heki/kernel-half-differs',
  title: "A CPU's address space has another kernel half",
  worst: 'high',
  explanation:
    "All address spaces share the kernel's half: the upper entries of every root table lead to the same tables. The one that a CPU stands on has an entry of its own.",
  attack:
    'Code and data that are mapped in one process only are seen by no walk that starts from swapper_pg_dir or another process.',
  legitimate:
    'The slot for LDTs under page-table isolation is of each process; a root may lack entries that are filled in when they are needed.',
  advice: 'Walk that address space (heki walk --cpu-index N --range) and look at what is behind the entry.',
  *find({ tables, regions, cpus }) {
    const seen = new Set<Gfn>([tables.root]);
    for (const { cpu, cr0, cr3 } of cpus) {
      const root = (cr0 & CR0.PG) === 0n || cr3 === undefined ? undefined : kernelRootOf(tables, cr3);
      if (root === undefined || seen.has(root)) continue;
      seen.add(root);
      for (const { slot, frame } of ownEntries(tables, root)) {
        const at = upperHalfStart(tables.levels) + (slot - KERNEL_SLOT) * framesOfLevel(tables.levels);
        const region = regionAt(regions, at as VirtualFrame);
        if (region === 'LDT remap') continue;
        const address = hex(virtualAddressOf(at as VirtualFrame));
        const summary = `The address space of CPU ${cpu} has an entry of its own for ${address} (${region}): ${hex(frame * PAGE_SIZE)}.`;
        yield occurrenceWithoutMemory(region, 'high', summary);
      }
    }
  },
};

/** Entries of the kernel's half of `root` that are present and not as in `tables`. */
function ownEntries(tables: ProvenRoot, root: Gfn): { readonly slot: number; readonly frame: Gfn }[] {
  const found: { slot: number; frame: Gfn }[] = [];
  for (let slot = KERNEL_SLOT; slot < 512; slot++) {
    const theirs = entryAt(tables, root, slot);
    const ours = entryAt(tables, tables.root, slot);
    if (theirs === undefined) continue;
    if (theirs.low === ours?.low && theirs.high === ours.high) continue;
    found.push({ slot, frame: theirs.frame });
  }
  return found;
}

/**
 * The kernel's half of the address space in `cr3`: that root, or of a pair of page-table isolation the other. `undefined` for what is not
 * this kernel's: EFI's or a trampoline's root, or that of a guest.
 */
function kernelRootOf(tables: ProvenRoot, cr3: bigint): Gfn | undefined {
  const encryption = tables.encryptionBit === undefined ? 0n : 1n << BigInt(tables.encryptionBit);
  const frame = Number((BigInt.asUintN(52, cr3) & ~encryption) >> 12n);
  const half = framesOfLevel(tables.levels);
  const slot = KERNEL_SLOT + Math.floor((tables.directMap.start - upperHalfStart(tables.levels)) / half);
  const direct = entryAt(tables, tables.root, slot)?.frame;
  return [frame, frame - (frame % 2)]
    .map((root) => root as Gfn)
    .find((root) => direct !== undefined && entryAt(tables, root, slot)?.frame === direct);
}

/** A present entry of a root table, without the bits that a processor sets by itself. */
function entryAt(
  { memory, encryptionBit }: ProvenRoot,
  root: Gfn,
  slot: number,
): { readonly low: number; readonly high: number; readonly frame: Gfn } | undefined {
  const page = memory.page(root);
  const [low = 0, high = 0] = page === undefined ? [] : [page[2 * slot], page[2 * slot + 1]];
  if ((low & EntryLow.P) === 0) return undefined;
  return {
    low: low | EntryLow.A | EntryLow.D,
    high,
    frame: entryFrame(low, high, addressHigh(encryptionBit)),
  };
}

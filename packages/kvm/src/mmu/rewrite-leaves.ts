import type { Gfn, Pfn, U64 } from '@heki/physical-memory';
import type { VmState } from '../vm-state.ts';
import { flushRemoteTlbs } from './zap.ts';

/** Bit 7, and the address in bits 51:12: what an entry has beside its bits. */
const LARGE = 1 << 7;
const LOW_FRAME = 0xffff_f000;
const HIGH_FRAME = 0xf_ffff;

/**
 * Replaces the bits of every leaf that touches `start` .. `end` - 1, leaving addresses and sizes alone, and flushes if
 * that took something away. How many leaves changed.
 */
export function rewriteLeaves(vm: VmState, start: Gfn, end: Gfn, rewrite: (entry: U64) => U64): number {
  vm.locks.assertHeld('mmu_lock');
  const { editor } = vm.tables;
  const changed: { gfn: Gfn; level: number; pfn: Pfn; bits: U64 }[] = [];
  editor.forEachLeaf(start, end, (gfn, level, low, high) => {
    const entry = rewrite({ low, high });
    if (entry.low >>> 0 === low && entry.high >>> 0 === high) return;
    const pfn = ((low >>> 12) + (high & HIGH_FRAME) * 0x10_0000) as Pfn;
    const bits = { low: entry.low & ~(LARGE | LOW_FRAME), high: (entry.high & ~HIGH_FRAME) >>> 0 };
    changed.push({ gfn, level, pfn, bits });
  });
  let flush = false;
  for (const { gfn, level, pfn, bits } of changed) {
    const edit = editor.installLeaf(gfn, level, pfn, bits);
    flush = edit.flush !== undefined || flush;
    vm.emit?.({ type: 'mapped', gfn, level, pfn, entry: bits });
  }
  if (flush) flushRemoteTlbs(vm);
  return changed.length;
}

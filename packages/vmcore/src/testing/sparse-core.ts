import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { gfn, PAGE_SIZE } from '@heki/physical-memory';
import { buildCore, vmcoreinfoNote } from './build-core.ts';
import { type BuiltKernel, buildKernel } from './built-kernel.ts';

/** Bytes of the file before the memory. */
const FRONT = 2 ** 16;
/** `__START_KERNEL_map`. */
const KERNEL_MAP = 0xffff_ffff_8000_0000n;

/**
 * Writes the ELF core of a guest of `gib` GiB to `path`: one PT_LOAD of all its RAM, a file of that size with holes where the guest has never written. Of
 * its memory there are the page tables.
 */
export function writeSparseCore(path: string, gib: number): BuiltKernel {
  const kernel = buildKernel({
    levels: 4,
    ramFrames: gib * 2 ** 18,
    // 0xffff888000000000, where it is without KASLR.
    directMapGib: 0x2200,
    largestLeaf: 2,
    textAt: 8,
    vmalloc: Array.from({ length: 4000 }, (_, index) => 0x3000 + 3 * index),
  });
  const swapper = KERNEL_MAP + 0x200_0000n;
  const physBase = BigInt(kernel.kernelRoots.swapper * PAGE_SIZE) - 0x200_0000n;
  const text = `SYMBOL(swapper_pg_dir)=${swapper.toString(16)}\nNUMBER(phys_base)=${physBase}\nNUMBER(pgtable_l5_enabled)=0\n`;
  const load = { address: 0, bytes: new Uint8Array(0), memorySize: gib * 2 ** 30 };
  const front = buildCore({ notes: [vmcoreinfoNote(text)], loads: [load] });
  const view = new DataView(front.buffer);
  const size = BigInt(load.memorySize);
  view.setBigUint64(64 + 56 + 8, BigInt(FRONT), true);
  view.setBigUint64(64 + 56 + 32, size, true);
  const file = openSync(path, 'w');
  ftruncateSync(file, FRONT + load.memorySize);
  writeSync(file, front, 0, front.length, 0);
  for (let frame: number = kernel.tablesFrom; frame < kernel.ramFrames; frame++) {
    const page = kernel.memory.page(gfn(frame));
    if (page !== undefined)
      writeSync(file, new Uint8Array(Uint32Array.from(page).buffer), 0, PAGE_SIZE, FRONT + frame * PAGE_SIZE);
  }
  closeSync(file);
  return kernel;
}

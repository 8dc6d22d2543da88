import { Errno } from '@heki/hypercall/errno';
import { type Gfn, PAGE_SIZE, type VirtualAddress, virtualAddressOf } from '@heki/physical-memory';
import { directAddress } from '../layout/layout.ts';
import { fail } from '../outcome.ts';
import type { SmpState } from './smp-state.ts';

/** What stands in for the trampoline's code: no-ops. Which page may be executed is what matters. */
const NOP = 0x90;
/** Entries of the root table in the trampoline: the identity mapping, and the kernel's half. */
const IDENTITY = 0;
const KERNEL_IMAGE = 511;
/** Bits of an address that an entry of the last level but one (1 GiB) and of the root covers, by paging levels. */
const GIGABYTE_BITS = 30n;
const TABLE = 0x63n;

/** Where the trampoline executes: its first page of text. */
export function trampolineText({ trampoline, build }: SmpState): Gfn {
  return (trampoline + build.trampoline.textStart) as Gfn;
}

/** `trampoline_pgd`: the last page of the trampoline. */
export function trampolineRoot({ trampoline, build }: SmpState): Gfn {
  return (trampoline + build.trampoline.pages - 1) as Gfn;
}

/**
 * `setup_real_mode`: the trampoline's code, and the root table with which a starting processor turns paging on: low addresses mean
 * themselves there, by the tables of the direct map, and the kernel's image is where it is.
 *
 * @throws {KernelStop} -ENOMEM
 */
export function setupRealMode(kernel: SmpState): void {
  const { layout, memory, tables, build } = kernel;
  const text = new Uint8Array((build.trampoline.textEnd - build.trampoline.textStart) * PAGE_SIZE);
  memory.store(directAddress(layout, trampolineText(kernel)), text.fill(NOP));
  const root = trampolineRoot(kernel);
  storeEntry(kernel, root, KERNEL_IMAGE, loadEntry(kernel, tables.root, KERNEL_IMAGE));
  storeEntry(kernel, root, IDENTITY, identityEntry(kernel));
}

/**
 * The entry under which the first GiB of the direct map lies at address 0 (`init_trampoline`). With KASLR it may begin anywhere: then
 * tables of its own lead to it.
 */
function identityEntry(kernel: SmpState): bigint {
  const { layout, tables, pages } = kernel;
  const base = BigInt.asUintN(64, virtualAddressOf(layout.directMap));
  const indices: number[] = [];
  for (let bits = GIGABYTE_BITS + 9n * BigInt(layout.levels - 3); bits >= GIGABYTE_BITS; bits -= 9n) {
    indices.push(Number((base >> bits) & 511n));
  }
  let table: Gfn = tables.root;
  const entries = indices.map((index) => {
    const entry = loadEntry(kernel, table, index);
    table = Number((entry >> 12n) & 0xff_ffff_ffffn) as Gfn;
    return entry;
  });
  // Where every table below the root is entered at its start, the kernel's own serve.
  if (indices.slice(1).every((index) => index === 0)) return entries[0] ?? 0n;
  let entry = entries.at(-1) ?? 0n;
  for (let level = 1; level < indices.length; level++) {
    const page = pages.allocate() ?? fail(Errno.ENOMEM, 'no page for the tables of the trampoline');
    kernel.memory.store(directAddress(layout, page), new Uint8Array(PAGE_SIZE));
    storeEntry(kernel, page, 0, entry);
    entry = (BigInt(page) << 12n) | TABLE;
  }
  return entry;
}

function entryAddress(kernel: SmpState, table: Gfn, slot: number): VirtualAddress {
  return (directAddress(kernel.layout, table) + BigInt(8 * slot)) as VirtualAddress;
}

function loadEntry(kernel: SmpState, table: Gfn, slot: number): bigint {
  const bytes = kernel.memory.load(entryAddress(kernel, table, slot), 8);
  return new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
}

function storeEntry(kernel: SmpState, table: Gfn, slot: number, entry: bigint): void {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, entry, true);
  kernel.memory.store(entryAddress(kernel, table, slot), bytes);
}

import { Errno } from '@heki/hypercall/errno';
import {
  type Gfn,
  hex,
  PAGE_SIZE,
  type U64,
  type VirtualAddress,
  type VirtualFrame,
  virtualAddressOf,
  virtualFrameOf,
} from '@heki/physical-memory';
import { entryBits } from '@heki/x86';
import { pokeSealed } from '../code/sealed-code.ts';
import { hekiTextPoke } from '../heki/heki-hooks.ts';
import { patchText } from '../heki/secure-kernel.ts';
import { allocateRoot } from '../mm/allocate-root.ts';
import { leafOf } from '../mm/leaf-entry.ts';
import { mappedFrames } from '../mm/mapped-frames.ts';
import { PageTables } from '../mm/page-tables.ts';
import { completed } from '../mm/vcpu-memory.ts';
import { attempt, fail, KernelStop } from '../outcome.ts';
import { createRandom } from '../random.ts';
import type { TemporaryMm, TextState } from './text-state.ts';

/** PAGE_KERNEL without GLOBAL: a supervisor page in the user half. */
const POKING = entryBits('P', 'RW', 'A', 'D', 'XD');
/** TASK_UNMAPPED_BASE of 4-level paging, a third of the user half, and the pages that are chosen from with KASLR. */
const UNMAPPED_BASE = 0x2_aaaa_aaaa;
const CHOICES = 2 ** 34;
/** Pages of a table of the last level: both poking pages lie in one. */
const TABLE_PAGES = 512;

/** `poking_init`. @throws {KernelStop} -ENOMEM */
export function initPoking(kernel: TextState): void {
  const { kaslrSeed: seed } = kernel;
  const root = allocateRoot(kernel);
  const chosen = UNMAPPED_BASE + (seed === undefined ? 0 : createRandom(~seed).below(CHOICES));
  const address = (chosen % TABLE_PAGES === TABLE_PAGES - 1 ? chosen + 1 : chosen) as VirtualFrame;
  const options = {
    root,
    levels: kernel.layout.levels,
    memory: () => kernel.memory,
    allocate: () => kernel.pages.allocate(),
    free: (frame: Gfn) => kernel.pages.free(frame),
  };
  // Tables that are made now stay: an editor frees only its own, and the next one finds these (get_locked_pte).
  const tables = new PageTables(options);
  tables.edit(() => {
    const { why } = tables.map(address, 1, root, POKING, 1);
    if (why !== undefined) fail(Errno.ENOMEM, `no tables for poking_mm: ${why}`);
    setLeaf(tables, address, { low: 0, high: 0 });
  });
  kernel.poking = { tables: new PageTables(options), address };
}

/** `set_pte_at`, `pte_clear`. */
function setLeaf(tables: PageTables, page: VirtualFrame, bits: U64): void {
  const entry = tables.lookup(page);
  if (entry !== undefined) tables.setEntry(entry, bits.low, bits.high);
}

/**
 * `text_poke`: writes `bytes`, at most a page, over kernel text at `address`, which is not writable otherwise: the frames are
 * mapped writable in the user half of a temporary address space, and the processor switches there for the copy. Afterwards the kernel
 * compares, and stops when the bytes are not there. Heki opens the text once that mapping is there, and closes it before the mapping goes; with B-G22, the
 * other way round. A secure kernel that knows the patch writes it in the kernel's place, and whoever owns sealed code does.
 *
 * @throws {KernelStop} when an access does not complete, nothing is mapped at `address`, or Heki refuses
 */
export function textPoke(kernel: TextState, address: VirtualAddress, bytes: Uint8Array): void {
  const { poking, vcpu } = kernel;
  if (poking === undefined) fail(Errno.EINVAL, 'text patching is not set up yet');
  const offset = Number(address % BigInt(PAGE_SIZE));
  if (bytes.length === 0 || bytes.length > PAGE_SIZE) fail(Errno.EINVAL, `${bytes.length} bytes to patch`);
  const frames = mappedFrames(kernel, virtualFrameOf(address), offset + bytes.length > PAGE_SIZE ? 2 : 1);
  if (pokeSealed(kernel, { address, bytes })) return;
  if (patchText(kernel, { address, bytes })) {
    checkPatched(address, bytes, kernel.memory.load(address, bytes.length));
    kernel.emit({ type: 'text-poke', address, bytes: bytes.length, alias: undefined });
    return;
  }
  const early = kernel.defects['B-G22'];
  if (early) openText(kernel, frames);
  mapAlias(poking, frames);
  if (!early) {
    const outcome = attempt(() => openText(kernel, frames));
    if (outcome.kind !== 'done') {
      unmapAlias(poking, frames);
      throw new KernelStop(outcome);
    }
  }

  const alias = (virtualAddressOf(poking.address) + BigInt(offset)) as VirtualAddress;
  completed(vcpu.cli(), 'instruction', vcpu.registers.rip);
  onTemporaryMm(kernel, poking, () => {
    kernel.memory.store(alias, bytes);
    if (early) unmapAlias(poking, frames);
  });
  const found = kernel.memory.load(address, bytes.length);
  completed(vcpu.sti(), 'instruction', vcpu.registers.rip);
  kernel.emit({ type: 'text-poke', address, bytes: bytes.length, alias });
  const refused = hekiTextPoke(kernel, 'text-poke-end', frames);
  if (!early) unmapAlias(poking, frames);
  checkPatched(address, bytes, found);
  if (refused !== 0) fail(-refused, 'Heki refused to close the text');
}

/** @throws {KernelStop} where Linux has a BUG_ON */
function checkPatched(address: VirtualAddress, bytes: Uint8Array, found: Uint8Array): void {
  if (found.some((byte, index) => byte !== bytes[index])) {
    fail(Errno.EFAULT, `BUG: the text at ${hex(address)} is not what was written`);
  }
}

/** @throws {KernelStop} Heki's refusal */
function openText(kernel: TextState, frames: readonly Gfn[]): void {
  const refused = hekiTextPoke(kernel, 'text-poke-start', frames);
  if (refused !== 0) fail(-refused, 'Heki refused to open the text');
}

/** `use_temporary_mm`, `unuse_temporary_mm`: the processor runs `body` in the temporary address space. */
export function onTemporaryMm({ vcpu }: TextState, { tables }: TemporaryMm, body: () => void): void {
  const kernelRoot = vcpu.registers.cr3;
  completed(vcpu.movToCr(3, BigInt(tables.root) << 12n), 'instruction', vcpu.registers.rip);
  body();
  // The new root drops what is cached of the old one: the alias is not global.
  completed(vcpu.movToCr(3, kernelRoot), 'instruction', vcpu.registers.rip);
}

export function mapAlias({ tables, address }: TemporaryMm, frames: readonly Gfn[]): void {
  tables.edit(() => {
    for (const [index, frame] of frames.entries()) {
      setLeaf(tables, (address + index) as VirtualFrame, leafOf(frame, POKING));
    }
  });
}

export function unmapAlias({ tables, address }: TemporaryMm, frames: readonly Gfn[]): void {
  tables.edit(() => {
    for (const index of frames.keys()) {
      setLeaf(tables, (address + index) as VirtualFrame, { low: 0, high: 0 });
    }
  });
}

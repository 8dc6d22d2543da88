import { PAGE_SIZE, type VirtualAddress, virtualAddressOf } from '@heki/physical-memory';
import type { KernelState } from '../kernel-state.ts';
import type { VmArea } from '../mm/vmalloc.ts';
import { Errno, fail } from '../outcome.ts';
import { allocateExecutable } from '../text/executable-page.ts';
import { jumpTo } from '../text/instructions.ts';
import { textPoke } from '../text/text-poke.ts';
import { textPokeBatch } from '../text/text-poke-batch.ts';

/** Bytes of a slot: the copied instruction and the way back (MAX_INSN_SIZE, and an optimised probe's template). */
const SLOT_SIZE = 256;
const COPIED = 16;
const INT3 = Uint8Array.of(0xcc);

/** A probe that is set. */
interface Kprobe {
  /** What lay at the probed address. */
  readonly original: Uint8Array;
  readonly slot: number;
}

/** What kprobes keep: the probes, and one page of slots for copied instructions, which is never freed. */
export interface Kprobes {
  readonly probes: Map<VirtualAddress, Kprobe>;
  readonly freeSlots: number[];
  page: VmArea | undefined;
}

/** No probes. */
export function createKprobes(): Kprobes {
  return {
    probes: new Map(),
    freeSlots: Array.from({ length: PAGE_SIZE / SLOT_SIZE }, (_, slot) => slot).reverse(),
    page: undefined,
  };
}

/**
 * `register_kprobe`: the probed instruction is copied into a slot of a page from `alloc_insn_page` and int3 takes its place; an
 * optimised probe is a jump to the slot.
 *
 * @throws {KernelStop} -EEXIST, -ENOMEM, Heki's refusal, or an access that does not complete
 */
export function registerKprobe(kernel: KernelState, address: VirtualAddress, optimized: boolean): void {
  const { kprobes } = kernel;
  if (kprobes.probes.has(address)) fail(Errno.EEXIST, `0x${address.toString(16)} has a probe`);
  kprobes.page ??= allocateExecutable(kernel, 1);
  const slot = kprobes.freeSlots.at(-1) ?? fail(Errno.ENOMEM, 'no instruction slot is free');
  const place = (virtualAddressOf(kprobes.page.start) + BigInt(slot * SLOT_SIZE)) as VirtualAddress;
  const original = kernel.memory.load(address, COPIED);
  textPoke(kernel, place, original);
  if (optimized) textPokeBatch(kernel, [{ address, bytes: jumpTo(address, place) }]);
  else textPoke(kernel, address, INT3);
  kprobes.freeSlots.pop();
  kprobes.probes.set(address, { original: original.subarray(0, optimized ? 5 : 1), slot });
}

/** `unregister_kprobe`. @throws {KernelStop} -ENOENT, Heki's refusal, or an access that does not complete */
export function unregisterKprobe(kernel: KernelState, address: VirtualAddress): void {
  const { probes, freeSlots } = kernel.kprobes;
  const { original, slot } =
    probes.get(address) ?? fail(Errno.ENOENT, `0x${address.toString(16)} has no probe`);
  if (original.length === 1) textPoke(kernel, address, original);
  else textPokeBatch(kernel, [{ address, bytes: original }]);
  probes.delete(address);
  freeSlots.push(slot);
}

import { Errno } from '@heki/hypercall/errno';
import { PAGE_SIZE, type VirtualAddress, virtualAddressOf } from '@heki/physical-memory';
import type { SealedCode } from '../code/code-state.ts';
import { isSealedText, isTraceable, pokeSites } from '../code/sealed-code.ts';
import { FTRACE_CALLER } from '../code/signed-sites.ts';
import type { FaultState } from '../faults/fault-state.ts';
import { copyFromKernelNofault } from '../faults/nofault.ts';
import type { FtraceState } from '../ftrace/ftrace.ts';
import type { VmArea } from '../mm/vm-area.ts';
import { fail, KernelStop } from '../outcome.ts';
import { allocateExecutable } from '../text/executable-page.ts';
import { callTo, jumpTo, NOP5 } from '../text/instructions.ts';
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
  /** `undefined`: it is set by ftrace. */
  readonly slot: number | undefined;
}

/** What kprobes keep: the probes, and one page of slots for copied instructions, which is never freed. */
export interface Kprobes {
  readonly probes: Map<VirtualAddress, Kprobe>;
  readonly freeSlots: number[];
  page: VmArea | undefined;
}

/** What probes need: their own state, and that of text. */
export interface KprobesState extends FtraceState, FaultState {
  readonly kprobes: Kprobes;
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
 * @throws {KernelStop} -EEXIST, -ENOMEM, -EFAULT where nothing can be read, Heki's refusal, or an access that does not complete
 */
export function registerKprobe(kernel: KprobesState, address: VirtualAddress, optimized: boolean): void {
  const { kprobes } = kernel;
  if (kprobes.probes.has(address)) fail(Errno.EEXIST, `0x${address.toString(16)} has a probe`);
  if (kernel.sealed !== undefined && isSealedText(kernel.sealed, address)) {
    probeByFtrace(kernel, kernel.sealed, address, optimized);
    return;
  }
  kprobes.page ??= allocateExecutable(kernel, 1);
  const slot = kprobes.freeSlots.at(-1) ?? fail(Errno.ENOMEM, 'no instruction slot is free');
  const place = (virtualAddressOf(kprobes.page.start) + BigInt(slot * SLOT_SIZE)) as VirtualAddress;
  const original = copyFromKernelNofault(kernel, address, COPIED);
  textPoke(kernel, place, original);
  textPoke(kernel, address, INT3);
  if (optimized) optimize(kernel, address, place, original);
  kprobes.freeSlots.pop();
  kprobes.probes.set(address, { original: original.subarray(0, optimized ? 5 : 1), slot });
}

/**
 * KPROBES_ON_FTRACE, all that there is where code is sealed: the function calls `ftrace_caller`. Nothing is copied, and no int3 written.
 *
 * @throws {KernelStop} -EOPNOTSUPP for a probe in the middle of a function, or an optimised one
 */
function probeByFtrace(
  kernel: KprobesState,
  sealed: SealedCode,
  address: VirtualAddress,
  optimized: boolean,
): void {
  if (optimized || !isTraceable(sealed, address))
    fail(Errno.EOPNOTSUPP, 'sealed code has probes at the beginning of functions alone, by ftrace');
  if (kernel.ftrace.traced.has(address)) fail(Errno.EBUSY, `0x${address.toString(16)} is traced already`);
  const caller = (kernel.image.address('_text') + BigInt(FTRACE_CALLER)) as VirtualAddress;
  pokeSites(kernel, sealed, [{ address, bytes: callTo(address, caller) }]);
  kernel.kprobes.probes.set(address, { original: NOP5, slot: undefined });
}

/** `arch_optimize_kprobes`: a jump takes the place of int3. A refusal takes the probe away again. */
function optimize(
  kernel: KprobesState,
  address: VirtualAddress,
  place: VirtualAddress,
  original: Uint8Array,
): void {
  try {
    textPokeBatch(kernel, [{ address, bytes: jumpTo(address, place) }]);
  } catch (stop) {
    if (stop instanceof KernelStop && stop.outcome.kind === 'error') {
      textPoke(kernel, address, original.subarray(0, 1));
    }
    throw stop;
  }
}

/** `kill_kprobe`: the text with the probes is gone, and nothing is put back. */
export function forgetKprobes({ kprobes }: KprobesState, start: VirtualAddress, end: VirtualAddress): void {
  for (const [address, { slot }] of kprobes.probes) {
    if (address < start || address >= end) continue;
    kprobes.probes.delete(address);
    if (slot !== undefined) kprobes.freeSlots.push(slot);
  }
}

/** `unregister_kprobe`. @throws {KernelStop} -ENOENT, Heki's refusal, or an access that does not complete */
export function unregisterKprobe(kernel: KprobesState, address: VirtualAddress): void {
  const { probes, freeSlots } = kernel.kprobes;
  const { original, slot } =
    probes.get(address) ?? fail(Errno.ENOENT, `0x${address.toString(16)} has no probe`);
  if (slot === undefined) {
    textPoke(kernel, address, original);
    probes.delete(address);
    return;
  }
  if (original.length > 1) {
    // arch_unoptimize_kprobe: int3 again, then the rest of the jump.
    textPoke(kernel, address, INT3);
    textPoke(kernel, (address + 1n) as VirtualAddress, original.subarray(1));
  }
  textPoke(kernel, address, original.subarray(0, 1));
  probes.delete(address);
  freeSlots.push(slot);
}

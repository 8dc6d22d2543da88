import type { Gfn, U64, VirtualFrame } from '@heki/physical-memory';
import { hex } from '@heki/physical-memory';
import { EntryHigh, EntryLow } from '@heki/x86';
import type { MmState } from './mm-state.ts';

const { RW } = EntryLow;
const { XD } = EntryHigh;

/**
 * Bits that no present leaf over these pages may have (`static_protections`): NX over kernel text, by address; RW over rodata,
 * by frame and so in all its mappings, once the kernel is read-only (`kernel_set_to_readonly`).
 *
 * Linux also knows a rule that text in large leaves stays read-only; it never bites, because a leaf that is not wholly covered is
 * split before it is asked about, and one that is covered is exempt.
 */
export function forbiddenBits(kernel: MmState, at: VirtualFrame, frame: Gfn, pages: number): U64 {
  const { image, setToReadonly } = kernel;
  const text = at < image.frame('_etext') && at + pages > image.start;
  const rodata =
    setToReadonly &&
    frame < image.guestFrame(image.frame('__end_rodata')) &&
    frame + pages > image.guestFrame(image.frame('__start_rodata'));
  return { low: rodata ? RW : 0, high: text ? XD : 0 };
}

/**
 * `verify_rwx`: whether a change makes a leaf writable and executable, about which the kernel warns, and must be refused: the
 * caller then keeps the old bits, and still succeeds. Commit 652c5bf380ad refuses; c5129ecc1249 turned that into the
 * warning alone, which is what released kernels do.
 */
export function violatesWx(
  kernel: MmState,
  old: U64,
  next: U64,
  at: VirtualFrame,
  frame: Gfn,
  pages: number,
): boolean {
  const same = ((old.low ^ next.low) & RW) === 0 && ((old.high ^ next.high) & XD) === 0;
  if (same || (next.low & RW) === 0 || (next.high & XD) !== 0) return false;
  const start = hex(BigInt(at) << 12n);
  const last = hex((BigInt(at + pages) << 12n) - 1n);
  const verb = kernel.refuseWx ? 'refuse' : 'detected';
  kernel.emit({
    type: 'warning',
    text: `CPA ${verb} W^X violation: ${bits(old)} -> ${bits(next)} range: ${start} - ${last} PFN ${frame.toString(16)}`,
  });
  return kernel.refuseWx;
}

/** The bits of a leaf without its frame, as the kernel prints a pgprot. */
const bits = ({ low, high }: U64): string =>
  (((BigInt(high) & 0xfff0_0000n) << 32n) | BigInt(low & 0xfff)).toString(16).padStart(16, '0');

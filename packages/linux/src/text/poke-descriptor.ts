import type { VirtualAddress } from '@heki/physical-memory';
import { CALL, JMP, JMP8, JUMP_LENGTH, NOP5 } from './instructions.ts';
import type { TextPatch } from './text-patch.ts';
import type { TextState } from './text-state.ts';

/*
 * What text_poke_bp_batch tells the breakpoint handler (arch/x86/kernel/alternative.c of Linux 6.6): `bp_desc` and `tp_vec`, which are
 * variables in .bss as any other. Whoever can store to data can write them.
 */

/** TP_VEC_MAX: a page of `struct text_poke_loc`. */
export const MOST_LOCATIONS = 256;
/** `struct text_poke_loc`: s32 rel_addr, s32 disp, u8 len, u8 opcode, u8 text[5], u8 old. */
export const LOCATION_BYTES = 16;
/** `struct bp_patching_desc`: the vector's address, s32 nr_entries, s32 refs. */
export const DESCRIPTOR_BYTES = 16;

/** An instruction that is being patched, as the handler finds it. */
export interface PokeLocation {
  readonly address: VirtualAddress;
  /** From the end of the instruction on. */
  readonly displacement: number;
  readonly length: number;
  readonly opcode: number;
}

/** What the handler is to do at the site of a patch (`text_poke_loc_init`): a no-op is a jump to what follows. */
function locationOf({ address, bytes }: TextPatch): PokeLocation {
  const [opcode = 0] = bytes;
  const { length } = bytes;
  const view = new DataView(bytes.buffer, bytes.byteOffset, length);
  if ((opcode === CALL || opcode === JMP) && length === JUMP_LENGTH)
    return { address, displacement: view.getInt32(1, true), length, opcode };
  if (opcode === JMP8 && length === 2) return { address, displacement: view.getInt8(1), length, opcode };
  const isNop = length === NOP5.length && bytes.every((byte, index) => byte === NOP5[index]);
  return { address, displacement: 0, length, opcode: isNop ? JMP : opcode };
}

/** `locations` as they lie in `tp_vec`; addresses count from `text`. */
export function encodeLocations(locations: readonly PokeLocation[], text: VirtualAddress): Uint8Array {
  const bytes = new Uint8Array(locations.length * LOCATION_BYTES);
  const view = new DataView(bytes.buffer);
  for (const [index, { address, displacement, length, opcode }] of locations.entries()) {
    const at = index * LOCATION_BYTES;
    view.setInt32(at, Number(BigInt.asIntN(32, address - text)), true);
    view.setInt32(at + 4, displacement, true);
    view.setUint8(at + 8, length);
    view.setUint8(at + 9, opcode);
  }
  return bytes;
}

/** `bp_desc` with so many references: none, and the handler looks at nothing. */
export function encodeDescriptor(vector: VirtualAddress, entries: number, references: number): Uint8Array {
  const bytes = new Uint8Array(DESCRIPTOR_BYTES);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt.asUintN(64, vector), true);
  view.setInt32(8, entries, true);
  view.setInt32(12, references, true);
  return bytes;
}

/** Tells the handler of the sites that are patched now. @throws {KernelStop} when a store does not complete */
export function openDescriptor(
  { memory, image, pokePlaces: { tp_vec, bp_desc } }: TextState,
  patches: readonly TextPatch[],
): void {
  memory.store(tp_vec, encodeLocations(patches.map(locationOf), image.address('_text')));
  memory.store(bp_desc, encodeDescriptor(tp_vec, patches.length, 1));
}

/** No site is patched any more. @throws {KernelStop} when the store does not complete */
export function closeDescriptor({ memory, pokePlaces: { tp_vec, bp_desc } }: TextState): void {
  memory.store(bp_desc, encodeDescriptor(tp_vec, 0, 0));
}

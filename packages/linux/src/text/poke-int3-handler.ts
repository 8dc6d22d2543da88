import type { VirtualAddress } from '@heki/physical-memory';
import type { Outcome, Vcpu } from '@heki/vcpu';
import { CALL, JMP, JMP8, RET } from './instructions.ts';
import { DESCRIPTOR_BYTES, LOCATION_BYTES, type PokeLocation } from './poke-descriptor.ts';
import type { TextState } from './text-state.ts';

/** How a processor goes on that came to an int3 of a patch. */
export type BreakpointEffect =
  | { readonly kind: 'jump'; readonly to: VirtualAddress }
  /** `back` is where the called function returns to. */
  | { readonly kind: 'call'; readonly to: VirtualAddress; readonly back: VirtualAddress }
  | { readonly kind: 'return' };

/** `nr_entries` has 31 bits: a search among so many takes no more steps. */
const MOST_STEPS = 31;

/**
 * `poke_int3_handler`: a processor that comes to the int3 at `address` goes on as the instruction that is being put there would have it. Which one that is
 * `bp_desc` and what it leads to say, whoever wrote them; `vcpu` loads them, as it is the one in the handler. `undefined`: not an int3 of this kind. Conditional
 * jumps, which Linux patches since 6.4 and this kernel does not, are none.
 *
 * A kernel whose code is sealed has no such handler: its owner changes sites in one step, and int3 between functions must lead nowhere.
 */
export function pokeInt3Handler(
  { sealed, pokePlaces, image }: TextState,
  vcpu: Vcpu,
  address: VirtualAddress,
): Outcome<BreakpointEffect | undefined> {
  // if (user_mode(regs)) return 0;
  if (sealed !== undefined || vcpu.registers.cpl === 3) return { kind: 'done', value: undefined };
  const descriptor = vcpu.loadBytes(pokePlaces.bp_desc, DESCRIPTOR_BYTES);
  if (descriptor.kind !== 'done') return descriptor;
  const view = viewOf(descriptor.value);
  if (view.getInt32(12, true) === 0) return { kind: 'done', value: undefined };
  const vector = view.getBigUint64(0, true);
  const text = image.address('_text');
  // Of one entry or fewer the first is looked at, as the kernel does.
  let [low, high] = [0, Math.max(view.getInt32(8, true), 1)];
  for (let step = 0; step < MOST_STEPS && low < high; step++) {
    const middle = Math.floor((low + high) / 2);
    const at = BigInt.asUintN(64, vector + BigInt(middle * LOCATION_BYTES)) as VirtualAddress;
    const loaded = vcpu.loadBytes(at, LOCATION_BYTES);
    if (loaded.kind !== 'done') return loaded;
    const location = decodeLocation(viewOf(loaded.value), text);
    if (location.address === address) return { kind: 'done', value: effectOf(location) };
    if (BigInt.asUintN(64, address) < BigInt.asUintN(64, location.address)) high = middle;
    else low = middle + 1;
  }
  return { kind: 'done', value: undefined };
}

function decodeLocation(view: DataView, text: VirtualAddress): PokeLocation {
  return {
    address: BigInt.asUintN(64, text + BigInt(view.getInt32(0, true))) as VirtualAddress,
    displacement: view.getInt32(4, true),
    length: view.getUint8(8),
    opcode: view.getUint8(9),
  };
}

function effectOf({ address, displacement, length, opcode }: PokeLocation): BreakpointEffect | undefined {
  const next = BigInt.asUintN(64, address + BigInt(length)) as VirtualAddress;
  const to = BigInt.asUintN(64, next + BigInt(displacement)) as VirtualAddress;
  switch (opcode) {
    case CALL:
      return { kind: 'call', to, back: next };
    case JMP:
    case JMP8:
      return { kind: 'jump', to };
    case RET:
      return { kind: 'return' };
    default:
      // An int3 that was asked for: another handler knows of it.
      return undefined;
  }
}

const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

import { PAGE_SIZE, type VirtualAddress, virtualAddressOf } from '@heki/physical-memory';
import type { KernelBuild } from '../layout/kernel-build.ts';
import type { AddressLayout } from '../layout/layout.ts';

const POKE_SYMBOLS = ['tp_vec', 'bp_desc'] as const;

/** The handler's data in a kernel's image. */
export type PokeSymbol = (typeof POKE_SYMBOLS)[number];

/** The address of each. */
export type PokePlaces = { readonly [name in PokeSymbol]: VirtualAddress };

export const isPokeSymbol = (symbol: string): symbol is PokeSymbol =>
  POKE_SYMBOLS.some((known) => known === symbol);

/** Where the linker puts them: no symbol of a build tells, and they are taken to be in the last pages of .bss before what is decrypted. */
export function placePokeDescriptor(
  { offsets }: KernelBuild,
  { text }: Pick<AddressLayout, 'text'>,
): PokePlaces {
  const end = Math.floor(offsets.__start_bss_decrypted / PAGE_SIZE) * PAGE_SIZE;
  const at = (offset: number): VirtualAddress => (virtualAddressOf(text) + BigInt(offset)) as VirtualAddress;
  return { tp_vec: at(end - 2 * PAGE_SIZE), bp_desc: at(end - PAGE_SIZE) };
}

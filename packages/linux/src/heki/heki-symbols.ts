import { type VirtualAddress, virtualAddressOf } from '@heki/physical-memory';
import type { ImageSymbol, KernelBuild } from '../layout/kernel-build.ts';
import type { AddressLayout } from '../layout/layout.ts';

const HEKI_SYMBOLS = ['heki', 'heki_hypervisor', 'lock_crs', 'protect_memory'] as const;

/** What Heki brings into a kernel's image: its variables, and the functions of the driver (KVM's are kvm_heki_hypervisor and so on). */
export type HekiSymbol = (typeof HEKI_SYMBOLS)[number];

/** The address of each. */
export type HekiPlaces = { readonly [name in HekiSymbol]: VirtualAddress };

export const isHekiSymbol = (symbol: string): symbol is HekiSymbol =>
  HEKI_SYMBOLS.some((known) => known === symbol);

/** Bytes that the linker keeps for each, and aligns it to. */
const SIZE = 32;

/**
 * Where the linker puts them. The series declares `struct heki heki;`, which C puts into .bss, and a `static struct heki_hypervisor`, not const, into
 * .data (Heki v2 4/19, 18/19). Without B-G17 both are marked `__ro_after_init`, a section within rodata. The kernels that profiles are made of were built without
 * Heki: each symbol is taken to be the last of its section.
 */
export function placeHeki({ offsets }: KernelBuild, { text }: AddressLayout, writable: boolean): HekiPlaces {
  const before = (end: ImageSymbol, slot: number): VirtualAddress => {
    const aligned = Math.floor(offsets[end] / SIZE) * SIZE;
    return (virtualAddressOf(text) + BigInt(aligned - slot * SIZE)) as VirtualAddress;
  };
  return {
    lock_crs: before('_etext', 2),
    protect_memory: before('_etext', 1),
    heki: writable ? before('__start_bss_decrypted', 1) : before('__end_rodata', 2),
    heki_hypervisor: writable ? before('_edata', 1) : before('__end_rodata', 1),
  };
}

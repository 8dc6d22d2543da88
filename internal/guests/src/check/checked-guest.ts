import type { GuestDump } from '../dump-guest.ts';
import type { RunningGuest } from '../run-guest.ts';

/** A guest that stands, was dumped by QEMU, and is judged by what QEMU says. */
export interface CheckedGuest {
  readonly running: RunningGuest;
  readonly dump: GuestDump;
  /** QEMU's ELF core of it: the others are held to its bytes. */
  readonly elf: string;
  /** The lines of `info tlb` for the kernel's half. */
  readonly infoTlb: readonly string[];
  /** Where dumps may be put. */
  readonly folder: string;
  /** Every how-manieth page is compared, so that a quick check stays quick. */
  readonly stride: number;
  /** Whether its memory is so large that it is dumped once alone. */
  readonly large: boolean;
}

/** Checks of a guest, each a sentence and what throws when it is not so. */
export type Checks = (guest: CheckedGuest) => AsyncGenerator<Check> | Generator<Check>;

export interface Check {
  readonly name: string;
  run(): void | Promise<void>;
}

/** The lines of the kernel's half in QEMU's listings: of a pair of roots, the one that maps more of it. */
export function kernelHalf(infoTlb: ReadonlyMap<string, string>): readonly string[] {
  const halves = Array.from(infoTlb.values(), (text) =>
    text.split('\n').filter((line) => /^[89a-f][0-9a-f]{15}: /.test(line)),
  );
  return halves.reduce((most, half) => (half.length > most.length ? half : most), []);
}

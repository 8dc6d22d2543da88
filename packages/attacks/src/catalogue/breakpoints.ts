import type { VirtualAddress } from '@heki/physical-memory';
import type { LabAttack } from '../attack/lab-attack.ts';
import type { Lab } from '../attacker/lab.ts';
import { loadedModule, offset } from './stores.ts';

const INT3 = 0xcc;
/** A near jump, and its length. */
const JMP = { opcode: 0xe9n, length: 5 } as const;

/** A word of 64 bits of two signed ones of 32. */
const words = (low: bigint, high: bigint): bigint =>
  BigInt.asUintN(32, low) + (BigInt.asUintN(32, high) << 32n);

/**
 * Writes what the breakpoint handler goes by: that a jump to `target` is being patched in at `site`. A `struct text_poke_loc` and the `struct bp_patching_desc`
 * that leads to it (arch/x86/kernel/alternative.c).
 */
function forgeDescriptor({ cpu, machine, places }: Lab, site: VirtualAddress, target: VirtualAddress): void {
  const { pokeVector, pokeDescriptor } = places;
  const text = machine.kernel.address('_text');
  cpu.store(pokeVector, 8, words(site - text, target - offset(site, JMP.length)));
  cpu.store(offset(pokeVector, 8), 8, BigInt(JMP.length) + (JMP.opcode << 8n));
  cpu.store(pokeDescriptor, 8, BigInt.asUintN(64, pokeVector));
  // One entry, one reference.
  cpu.store(offset(pokeDescriptor, 8), 8, words(1n, 1n));
}

/** What the kernel does at an int3 is said by data. */
export const BREAKPOINTS: readonly LabAttack[] = [
  {
    name: 'forge-breakpoint',
    title: "write the descriptor of text_poke's breakpoint handler, jump into the int3 between two functions",
    gains: 'any function of the kernel runs in the place of any other, by data alone',
    source: 'Linux, poke_int3_handler: its vector is data, and padding is int3 everywhere',
    means: [],
    stoppedBy: ['sealed-code'],
    run(lab) {
      // The first byte of the module's text is int3: no function begins there.
      const text = loadedModule(lab);
      lab.aims.reached('commit_creds', lab.places.grant);
      forgeDescriptor(lab, text, lab.places.grant);
      lab.cpu.run(text);
    },
  },
  {
    name: 'leave-breakpoint',
    title:
      "have int3 put at the site of a static key, never finish the patch, and write the handler's descriptor",
    gains:
      'whoever comes to the site goes where the attacker names, and the text is as a patch leaves it half-way',
    source:
      'Linux, text_poke_bp_batch: int3 is its first step; a secure kernel that judges each step takes it',
    means: ['kernel functions', 'hypercalls'],
    stoppedBy: ['immutable', 'sealed-code'],
    run(lab) {
      const { keySite, grant } = lab.places;
      lab.aims.result('the check behind the static key', keySite);
      lab.call('text_poke', (kernel) => kernel.textPoke(keySite, Uint8Array.of(INT3)));
      forgeDescriptor(lab, keySite, grant);
    },
  },
];

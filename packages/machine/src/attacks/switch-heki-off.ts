import type { VirtualAddress } from '@heki/physical-memory';
import type { Attack } from './attack.ts';
import { WRITABLE } from './attacker.ts';
import { notTried, storeAndLook, withEditedEntries } from './technique.ts';

/** `heki.protect_memory`, a bool at this offset (Heki v2 18/19). */
const PROTECT_MEMORY = 16n;

/**
 * One byte of zero over `heki.protect_memory`: for a living kernel, because it has no effect before the kernel's next change (B-G17).
 * It stays switched off. Where it was never on there is nothing to switch off.
 */
export const switchHekiOff = {
  name: 'switch-heki-off',
  title: 'set R/W in the PTE, store 0 to heki.protect_memory',
  meaning: 'the hypervisor hears of no change of the kernel any more',
  // As published, Heki's variables are ordinary data (B-G17).
  claim: { profiles: ['hardened'], hypervisor: () => true, uses: 'write' },
  needsHekiKernel: true,
  run(attacker, { symbols }) {
    const heki = symbols.get('heki');
    if (heki === undefined) return notTried('the kernel has no variable heki');
    const target = (heki + PROTECT_MEMORY) as VirtualAddress;
    if (attacker.load(target, 1).value === 0n) {
      return notTried('heki.protect_memory is 0: Heki protects nothing that could be switched off', target);
    }
    return withEditedEntries(
      attacker,
      target,
      (value) => value | WRITABLE,
      () => storeAndLook(attacker, target, 0n, 'heki.protect_memory is 0'),
    );
  },
} as const satisfies Attack;

import type { VirtualAddress } from '@heki/physical-memory';
import type { Attack } from './attack.ts';
import { WRITABLE } from './attacker.ts';
import { judge, withEditedEntries } from './technique.ts';

/** `heki.protect_memory`, a bool at this offset (Heki v2 18/19). */
const PROTECT_MEMORY = 16n;

/**
 * One byte of zero over `heki.protect_memory`, in the kernel whose `struct heki` is at `heki`: for a living kernel, because nothing comes of it before the
 * kernel's next change (B-G17). It stays switched off; where it was never on, nobody stops the store.
 */
export function switchHekiOff(heki: VirtualAddress): Attack {
  const target = (heki + PROTECT_MEMORY) as VirtualAddress;
  return {
    name: 'switch-heki-off',
    title: 'set R/W in the PTE, store 0 to heki.protect_memory',
    meaning: 'the hypervisor hears of no change of the kernel any more',
    legitimate: false,
    run(attacker) {
      return withEditedEntries(
        attacker,
        target,
        (value) => value | WRITABLE,
        () => {
          const verdict = judge(attacker.store(target, 1, 0n).step, target, 'heki.protect_memory is 0');
          if (verdict.outcome !== 'succeeded' || attacker.load(target, 1).value === 0n) return verdict;
          return { ...verdict, outcome: 'blocked', reason: 'the store completed and left no trace' };
        },
      );
    },
  };
}

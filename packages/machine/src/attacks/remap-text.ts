import type { VirtualAddress } from '@heki/physical-memory';
import type { Attack } from './attack.ts';
import { type Attacker, EXECUTE_DISABLE, type FoundEntry } from './attacker.ts';
import { judge, notTried } from './technique.ts';

/** A processor that walks through an entry sets it (SDM 3A 4.8). */
const ACCESSED = 1n << 5n;

/** How far away other text is looked for: so far as the largest entry maps which the kernel's text has, and on the next page. */
const AWAY = [0x20_0000n, 0x1000n] as const;

/**
 * The rights of pages say nothing about which page is mapped where. Only a hypervisor that owns the translation of the kernel's text (HLAT)
 * stops this.
 */
export const remapText = {
  name: 'remap-text',
  title: 'point the PTE of kernel text at other text',
  meaning: 'a function of the kernel becomes another one, and no byte of either has changed',
  part: 'text',
  run(attacker, { text }) {
    if (text === undefined) return notTried('no executable page of the kernel image was found');
    const here = attacker.findEntries(text)?.at(-1);
    const there = AWAY.map((distance) => findCode(attacker, (text + distance) as VirtualAddress)).find(
      (entry) => entry?.level === here?.level && entry?.value !== here?.value,
    );
    if (here === undefined || there === undefined) {
      return notTried('no other text is mapped by an entry of the same size', text);
    }
    const { step } = attacker.store(here.address, 8, there.value & ~ACCESSED);
    if (step.outcome !== 'done') return judge(step, text, '');
    attacker.flush(text);
    const { step: executed } = attacker.execute(text);
    const entry = attacker.load(here.address, 8).value;
    attacker.store(here.address, 8, here.value);
    attacker.flush(text);
    // Under HLAT the code runs that was always there, by entries of the hypervisor's: those of the guest are not even looked at (SDM 3A 4.5.1).
    if (executed.outcome === 'done' && entry !== undefined && (entry & ACCESSED) === 0n) {
      const reason = "the processor does not look at this entry: the translation is the hypervisor's";
      return { outcome: 'blocked', target: text, decisive: executed, reason };
    }
    return judge(executed, text, 'the processor runs other code at this address');
  },
} as const satisfies Attack;

/** The entry that maps code at `va`; `undefined` where nothing is mapped, or nothing that executes. */
function findCode(attacker: Attacker, va: VirtualAddress): FoundEntry | undefined {
  const entries = attacker.findEntries(va) ?? [];
  return entries.every(({ value }) => (value & EXECUTE_DISABLE) === 0n) ? entries.at(-1) : undefined;
}

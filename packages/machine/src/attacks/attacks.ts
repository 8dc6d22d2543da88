import type { VirtualAddress } from '@heki/physical-memory';
import { CR4 } from '@heki/x86';
import type { Attack, AttackVerdict } from './attack.ts';
import { type Attacker, EXECUTE_DISABLE, WRITABLE } from './attacker.ts';
import { judge, notTried, withEditedEntries } from './technique.ts';

/** What an attacker's hook begins with, and what erases an instruction: INT3 and NOP. */
const BYTES = [0xccn, 0x90n] as const;

/**
 * Stores one byte, then another, and looks each time whether it is there: a store that completes and leaves no trace is no
 * success. Nothing is read before the first store, so that this is the first access to the page, as in a real attack.
 */
function storeByte(attacker: Attacker, target: VirtualAddress): AttackVerdict {
  let verdict = notTried('there is nothing to store');
  for (const byte of BYTES) {
    const { step } = attacker.store(target, 1, byte);
    if (step.contentsAbsent) {
      return judge(step, target, 'the processor let the store through; the contents are not in the snapshot');
    }
    verdict = judge(step, target, 'the byte was changed');
    if (verdict.outcome !== 'succeeded') return verdict;
    if (attacker.load(target, 1).value !== byte) {
      return { ...verdict, outcome: 'blocked', reason: 'the store completed and left no trace' };
    }
  }
  return verdict;
}

/** The attacks of `heki protect`, and last the legitimate store that must work. */
export const ATTACKS: readonly Attack[] = [
  {
    name: 'store-text',
    title: 'store to kernel text',
    meaning: 'any code of the kernel can be replaced',
    legitimate: false,
    run(attacker, { text }) {
      if (text === undefined) return notTried('no executable page of the kernel image was found');
      return storeByte(attacker, text);
    },
  },
  {
    name: 'store-text-direct-map',
    title: 'store to kernel text by the direct map',
    meaning: 'a second mapping of a page gets around the rights of the first',
    legitimate: false,
    run(attacker, { textAlias }) {
      if (textAlias === undefined) return notTried('the direct map does not map the kernel text');
      return storeByte(attacker, textAlias);
    },
  },
  {
    name: 'store-text-after-pte-edit',
    title: 'set R/W in the PTE, store to kernel text',
    meaning: "the kernel's page tables are data, and whoever writes them decides what is read-only",
    legitimate: false,
    run(attacker, { text }) {
      if (text === undefined) return notTried('no executable page of the kernel image was found');
      return withEditedEntries(
        attacker,
        text,
        (value) => value | WRITABLE,
        () => storeByte(attacker, text),
      );
    },
  },
  {
    name: 'execute-data',
    title: 'clear NX in the PTE, execute kernel data',
    meaning: 'whatever the attacker put into memory runs as the kernel',
    legitimate: false,
    run(attacker, { data }) {
      if (data === undefined) return notTried('no writable page of the kernel image was found');
      return withEditedEntries(
        attacker,
        data,
        (value) => value & ~EXECUTE_DISABLE,
        () => judge(attacker.execute(data).step, data, 'the processor fetched the data as code'),
      );
    },
  },
  {
    name: 'clear-smep',
    title: 'clear CR4.SMEP',
    meaning: 'the kernel can be made to run the code of a user program',
    legitimate: false,
    run(attacker) {
      const before = attacker.readCr(4).value;
      if (before === undefined) return notTried('CR4 cannot be read');
      const { step } = attacker.writeCr(4, before & ~CR4.SMEP);
      const wasSet = (before & CR4.SMEP) !== 0n;
      const verdict = judge(step, undefined, wasSet ? 'SMEP is clear' : 'SMEP was never set');
      if (verdict.outcome !== 'succeeded') return verdict;
      if (((attacker.readCr(4).value ?? before) & CR4.SMEP) !== 0n) {
        return { ...verdict, outcome: 'blocked', reason: 'the MOV completed and SMEP is still set' };
      }
      attacker.writeCr(4, before);
      return verdict;
    },
  },
  {
    name: 'store-data',
    title: 'store to kernel data (legitimate)',
    meaning: 'the kernel does its work',
    legitimate: true,
    run(attacker, { data }) {
      if (data === undefined) return notTried('no writable page of the kernel image was found');
      return storeByte(attacker, data);
    },
  },
];

import { grantableRights, type Rights } from '@heki/hypervisor';
import type { VirtualAddress } from '@heki/physical-memory';
import { PROFILES } from '@heki/series';
import { CR4, EFER } from '@heki/x86';
import { askForExecution } from './ask-for-execution.ts';
import type { Attack, AttackVerdict } from './attack.ts';
import { type Attacker, EXECUTE_DISABLE, WRITABLE } from './attacker.ts';
import type { AttackClaim } from './claim.ts';
import { remapText } from './remap-text.ts';
import { switchHekiOff } from './switch-heki-off.ts';
import { judge, notTried, storeAndLook, withEditedEntries } from './technique.ts';
import { defenceOf, explainStep } from './verdict.ts';

/** What an attacker's hook begins with, and what erases an instruction: INT3 and NOP. One of them at least was not there before. */
const BYTES = [0xccn, 0x90n] as const;
/** IA32_EFER (SDM 4, table 2-2). */
const IA32_EFER = 0xc000_0080;

const NO_TEXT = 'no executable page of the kernel image was found';
const NO_DATA = 'no writable page of the kernel image was found';

function storeBytes(attacker: Attacker, target: VirtualAddress): AttackVerdict {
  let verdict = notTried('there is nothing to store');
  for (const byte of BYTES) {
    verdict = storeAndLook(attacker, target, byte, 'the byte was changed');
    if (verdict.outcome !== 'succeeded' || verdict.decisive?.contentsAbsent === true) return verdict;
  }
  return verdict;
}

/** What the series set out to do (Heki v2 00/19): text and constants do not change, ... */
const STORE_TO_TEXT: AttackClaim = { profiles: PROFILES, hypervisor: () => true, uses: 'write' };
/** ... data is not run by the kernel, where the kernel's execution can be denied without that of user code, ... */
const EXECUTE_DATA: AttackClaim = {
  profiles: PROFILES,
  hypervisor: (capabilities) => !grantableRights(capabilities, DATA).supervisorExecute,
  uses: 'execute',
};
/** ... and control registers keep their pinned bits. */
const CLEAR_SMEP: AttackClaim = {
  profiles: PROFILES,
  hypervisor: ({ pins }) => (pins.cr4 & CR4.SMEP) !== 0n,
};
/** What Heki asks for a page of data: user code may run what it likes. */
const DATA: Rights = { read: true, write: true, supervisorExecute: false, userExecute: true };

/** Every attack, and the legitimate store that must work. */
const LIST = [
  {
    name: 'store-text',
    title: 'store to kernel text',
    meaning: 'any code of the kernel can be replaced',
    claim: STORE_TO_TEXT,
    part: 'text',
    run(attacker, { text }) {
      if (text === undefined) return notTried(NO_TEXT);
      return storeBytes(attacker, text);
    },
  },
  {
    name: 'store-text-direct-map',
    title: 'store to kernel text by the direct map',
    meaning: 'a second mapping of a page gets around the rights of the first',
    claim: STORE_TO_TEXT,
    part: 'text',
    run(attacker, { textAlias }) {
      if (textAlias === undefined) return notTried('the direct map does not map the kernel text');
      return storeBytes(attacker, textAlias);
    },
  },
  {
    name: 'store-text-after-pte-edit',
    title: 'set R/W in the PTE, store to kernel text',
    meaning: "the kernel's page tables are data, and whoever writes them decides what is read-only",
    claim: STORE_TO_TEXT,
    part: 'text',
    run(attacker, { text }) {
      if (text === undefined) return notTried(NO_TEXT);
      return withEditedEntries(
        attacker,
        text,
        (value) => value | WRITABLE,
        () => storeBytes(attacker, text),
      );
    },
  },
  {
    name: 'execute-data',
    title: 'clear NX in the PTE, execute kernel data',
    meaning: 'whatever the attacker put into memory runs as the kernel',
    claim: EXECUTE_DATA,
    part: 'data',
    run(attacker, { data }) {
      if (data === undefined) return notTried(NO_DATA);
      const efer = attacker.readMsr(IA32_EFER).value;
      if (efer !== undefined && (efer & EFER.NXE) === 0n) {
        return notTried(
          'EFER.NXE is clear: no page is kept from being executed, and there is no NX to clear',
          data,
        );
      }
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
    claim: CLEAR_SMEP,
    run(attacker) {
      const before = attacker.readCr(4).value;
      if (before === undefined) return notTried('CR4 cannot be read');
      if ((before & CR4.SMEP) === 0n) return notTried('CR4.SMEP is not set: there is nothing to clear');
      const { step } = attacker.writeCr(4, before & ~CR4.SMEP);
      const verdict = judge(step, undefined, 'SMEP is clear');
      if (verdict.outcome !== 'succeeded') return verdict;
      if (((attacker.readCr(4).value ?? before) & CR4.SMEP) !== 0n) {
        const reason =
          defenceOf(step) === null ? 'the MOV completed and SMEP is still set' : explainStep(step);
        return { ...verdict, outcome: 'blocked', reason };
      }
      attacker.writeCr(4, before);
      return verdict;
    },
  },
  remapText,
  switchHekiOff,
  {
    name: 'store-data',
    title: 'store to kernel data (legitimate)',
    meaning: 'the kernel does its work',
    legitimate: true,
    run(attacker, { data }) {
      if (data === undefined) return notTried(NO_DATA);
      return storeBytes(attacker, data);
    },
  },
  // Last: what it was granted would be there for those that follow.
  askForExecution,
] as const satisfies readonly Attack[];

/** Names of {@link ATTACKS}. */
export type AttackName = (typeof LIST)[number]['name'];

/** Every attack that comes with heki, and the legitimate store that must work. */
export const ATTACKS: readonly (Attack & { readonly name: AttackName })[] = LIST;

/** Those that any kernel can be attacked with, as a snapshot holds it. */
export const SNAPSHOT_ATTACKS: typeof ATTACKS = ATTACKS.filter(
  ({ needsHekiKernel }) => needsHekiKernel !== true,
);

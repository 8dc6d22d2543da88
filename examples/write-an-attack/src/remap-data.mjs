// An attack of one's own: other data in the place of a kernel variable, by nothing but the kernel's page tables.
import { judge, notTried } from '@heki/machine';

/** Far enough for an entry of its own, whether pages or 2-MiB leaves map the data. */
const AWAY = [0x1000n, -0x1000n, 0x20_0000n, -0x20_0000n];

/** @type {import('@heki/machine').Attack} */
export default {
  name: 'remap-data',
  title: 'point the PTE of kernel data at other data',
  meaning: 'a variable of the kernel becomes another one, and no byte of either has changed',
  part: 'data',
  run(attacker, { data }) {
    if (data === undefined) return notTried('no writable page of the kernel image was found');
    const here = attacker.findEntries(data)?.at(-1);
    const there = AWAY.map((far) =>
      attacker.findEntries(/** @type {typeof data} */ (data + far))?.at(-1),
    ).find((entry) => entry?.level === here?.level && entry?.value !== here?.value);
    if (here === undefined || there === undefined) return notTried('no other data is mapped alike', data);
    const { step } = attacker.store(here.address, 8, there.value);
    if (step.outcome !== 'done') return judge(step, data, '');
    attacker.flush(data);
    const verdict = judge(attacker.load(data, 8).step, data, 'the kernel reads other data at this address');
    attacker.store(here.address, 8, here.value);
    attacker.flush(data);
    return verdict;
  },
};

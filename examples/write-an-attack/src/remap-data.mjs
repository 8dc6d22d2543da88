// An attack of one's own: other data in the place of a kernel variable, by nothing but the kernel's page tables.
import { judge, notTried, withEditedEntries } from '@heki/machine';

/** @type {import('@heki/machine').Attack} */
export default {
  name: 'remap-data',
  title: 'point the PTE of kernel data at other data',
  meaning: 'a variable of the kernel becomes another one, and no byte of either has changed',
  part: 'data',
  run(attacker, { data }) {
    if (data === undefined) return notTried('no writable page of the kernel image was found');
    const leaf = attacker.findEntries(data)?.at(-1)?.value;
    // Bit 21 of the address leads 2 MiB away, whether pages or 2-MiB leaves map the data.
    const change = (/** @type {bigint} */ entry) => (entry === leaf ? entry ^ 0x20_0000n : entry);
    return withEditedEntries(attacker, data, change, () =>
      judge(attacker.load(data, 8).step, data, 'the kernel reads other data at this address'),
    );
  },
};

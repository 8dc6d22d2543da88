import { virtualAddress } from '@heki/physical-memory';
import type { Check, CheckedGuest } from './checked-guest.ts';
import { expectEqual, withDump } from './expect.ts';

/** What the dump says of symbols, as the guest's own /proc/kallsyms has them. */
export function* symbols(guest: CheckedGuest): Generator<Check> {
  yield {
    name: 'symbols of VMCOREINFO',
    run: () =>
      withDump(guest.elf, ({ vmcoreinfo }) => {
        const told = Object.entries(guest.dump.facts.symbols);
        const compared = told.filter(([name, address]) => {
          const found = vmcoreinfo?.symbol(name);
          if (found === undefined) return false;
          expectEqual(name, `0x${found.toString(16)}`, `0x${virtualAddress(BigInt(address)).toString(16)}`);
          return true;
        });
        if (compared.length === 0) throw new Error('it has none of those that /proc/kallsyms was asked for');
      }),
  };
}

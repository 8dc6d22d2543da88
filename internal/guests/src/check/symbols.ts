import { virtualAddress } from '@heki/physical-memory';
import { createKernelNames, readImageSymbols } from '@heki/symbols';
import { resolveKernelRoot, type Vmcore } from '@heki/vmcore';
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
  // One of 97 lines, and how many there are: all of them would take a minute of the guest's serial line.
  const [count, ...told] = guest.running.told.get('sampled') ?? [];
  for (const by of ['vmcoreinfo', 'structure'] as const) {
    yield {
      name: `symbols of the kernel and its modules, found by ${by}`,
      run: () =>
        withDump(guest.elf, (core) => {
          const ours = kallsymsOf(core, by);
          expectEqual('the number of symbols', ours.length, Number(count));
          expectEqual('the lines that it told', told.length, Math.ceil(ours.length / 97));
          for (const [index, line] of told.entries()) {
            expectEqual(`line ${index * 97 + 1}`, ours[index * 97], line.trimEnd());
          }
        }),
    };
  }
}

/** The lines of /proc/kallsyms, as the dump has them. */
function kallsymsOf({ vmcoreinfo, ...core }: Vmcore, by: 'vmcoreinfo' | 'structure'): string[] {
  const root = resolveKernelRoot({ ...core, vmcoreinfo });
  const found = readImageSymbols(root, by === 'structure' ? undefined : vmcoreinfo);
  if (typeof found === 'string') throw new Error(`kallsyms ${found}`);
  expectEqual('how they were found', found.from, by);
  const names = createKernelNames(root, { vmcoreinfo, symbols: found.table });
  return Array.from(names.all(), ({ address, type, name, module }) =>
    [
      `${address.toString(16).padStart(16, '0')} ${type} ${name}`,
      ...(module === undefined ? [] : [`[${module}]`]),
    ].join('\t'),
  );
}

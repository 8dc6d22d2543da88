import { type VirtualAddress, virtualAddress } from '@heki/physical-memory';
import { pagingRegistersOf } from '@heki/vmcore';
import { translate } from '@heki/x86';
import type { Check, CheckedGuest } from './checked-guest.ts';
import { addressOfLine, expectEqual, withDump } from './expect.ts';

/** Leaves of which an address is asked for. */
const ASKED = 200;

/** Addresses in leaves and right behind them, each as the monitor's `gva2gpa` has it on CPU 0. */
export function* translations(guest: CheckedGuest): Generator<Check> {
  yield {
    name: 'gva2gpa',
    run: () => askAll(guest),
  };
}

async function askAll({ elf, infoTlb, running }: CheckedGuest): Promise<void> {
  const step = Math.max(1, Math.floor(infoTlb.length / ASKED));
  const addresses = infoTlb
    .filter((_, index) => index % step === 0)
    .flatMap((line) => [addressOfLine(line) + 0x123n, addressOfLine(line) - 0x77n])
    .map((address) => virtualAddress(BigInt.asUintN(64, address)));
  const ours = new Map<VirtualAddress, string>();
  withDump(elf, (core) => {
    const registers = pagingRegistersOf(core, 0);
    for (const address of addresses) {
      const { outcome } = translate(registers, core.memory, address, {
        kind: 'read',
        mode: 'implicit-supervisor',
      });
      ours.set(address, outcome.kind === 'mapped' ? `gpa: 0x${outcome.gpa.toString(16)}` : 'Unmapped');
    }
  });
  for (const address of addresses) {
    const told = (await running.qmp.monitor(`gva2gpa 0x${address.toString(16)}`)).trim();
    expectEqual(`0x${address.toString(16)}`, ours.get(address), told);
  }
}

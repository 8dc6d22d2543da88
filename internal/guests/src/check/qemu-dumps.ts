import { copyFileSync, rmSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import type { Check, CheckedGuest } from './checked-guest.ts';
import { expectBytes, expectEqual, expectLeaves, withDump } from './expect.ts';

/** Every format that this QEMU dumps: leaves as its `info tlb`, bytes as its ELF core. */
export async function* qemuDumps(guest: CheckedGuest): AsyncGenerator<Check> {
  const { elf, folder, running } = guest;
  const { qmp } = running;
  yield {
    name: "QEMU's ELF core",
    run: () =>
      withDump(elf, (core) => {
        expectLeaves(core, guest);
        expectEqual('the number of CPUs', core.cpus.length, guest.dump.facts.registers.length);
      }),
  };
  if (guest.large) return;
  const capability = Object(await qmp.execute('query-dump-guest-memory-capability'));
  const offered: readonly string[] = capability.formats ?? [];
  for (const format of offered.filter((one) => one.startsWith('kdump-'))) {
    const path = join(folder, format);
    yield {
      name: `QEMU's ${format}`,
      async run() {
        await qmp.execute('dump-guest-memory', { paging: false, protocol: `file:${path}`, format });
        withDump(path, (core) => {
          expectLeaves(core, guest);
          expectBytes(core, guest);
        });
        truncateSync(path, Math.floor(statSync(path).size * 0.9));
        withDump(path, (core) => {
          expectEqual('the warning of a dump that was cut short', core.warnings[0]?.id, 'truncated');
          // How much that is depends on where the guest has zeroes, which take no room.
          expectBytes(core, guest, 0.99);
        });
      },
    };
    rmSync(path, { force: true });
  }
  // It holds what the CPUs' tables map: under page-table isolation in user mode next to nothing of the kernel.
  const seesKernel = guest.dump.facts.registers.every(({ cr3 }) => (BigInt(`0x${cr3}`) & 0x1000n) === 0n);
  if (seesKernel)
    yield {
      name: 'an ELF core with paging=true',
      async run() {
        const path = join(folder, 'paging.elf');
        await qmp.execute('dump-guest-memory', { paging: true, protocol: `file:${path}` });
        withDump(path, (core) => {
          expectLeaves(core, guest);
          expectBytes(core, guest, 0.1);
        });
        rmSync(path);
      },
    };
  yield {
    name: 'an ELF core that was cut short',
    run() {
      const path = join(folder, 'cut.elf');
      copyFileSync(elf, path);
      truncateSync(path, Math.floor(statSync(path).size * 0.6));
      withDump(path, (core) => {
        expectEqual('the warning', core.warnings[0]?.id, 'truncated');
        expectBytes(core, guest, 0.6);
      });
      rmSync(path);
    },
  };
  yield {
    name: 'raw memory (pmemsave)',
    async run() {
      const path = join(folder, 'raw');
      const size = withEnd(elf);
      await qmp.execute('pmemsave', { val: 0, size, filename: path });
      withDump(path, (core) => expectLeaves(core, guest));
      rmSync(path);
    },
  };
}

/** One past the last byte of RAM. */
function withEnd(elf: string): number {
  let end = 0;
  withDump(elf, ({ segments }) => {
    // The firmware's flash lies right below 4 GiB, and is not RAM.
    end = segments.filter((segment) => segment.end !== 2 ** 32).at(-1)?.end ?? 0;
  });
  return end;
}

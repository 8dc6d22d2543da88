import { setTimeout as delay } from 'node:timers/promises';
import type { GdbRemote } from './gdb-remote.ts';
import type { Guest, GuestFacts } from './guest.ts';
import { qemuVersion, type RunningGuest } from './run-guest.ts';

/** A dump with what QEMU says of the same moment. */
export interface GuestDump {
  readonly facts: GuestFacts;
  /** QEMU's `info tlb` of each root: hexadecimal physical address to text. */
  readonly infoTlb: ReadonlyMap<string, string>;
}

/** Stops the guest where `guest` says, and writes its memory and registers to `path`. */
export async function dumpGuest(guest: Guest, running: RunningGuest, path: string): Promise<GuestDump> {
  const { qmp, told } = running;
  await qmp.execute('stop');
  const gdb = await running.debug();
  try {
    if (guest.stop === 'user-mode') await runToUserMode(running, guest.cpus ?? 1);
    if (guest.stop === 'system-call-entry') await runToEntry(running, gdb);
    await qmp.execute('dump-guest-memory', { paging: false, protocol: `file:${path}` });
    const registers = [];
    for (let cpu = 0; cpu < (guest.cpus ?? 1); cpu++) {
      registers.push(parseRegisters(await qmp.monitor('info registers', cpu)));
    }
    const lines = (name: string) => told.get(name) ?? [];
    const symbols = Object.fromEntries(
      lines('symbols').map((line) => {
        const [address = '', , name = ''] = line.split(/\s+/);
        return [name, `0x${address}`];
      }),
    );
    const facts: GuestFacts = {
      qemuVersion: qemuVersion(),
      qemuCommand: running.command,
      kernel: lines('version').join(' '),
      cmdline: lines('cmdline').join(' '),
      iomem: lines('iomem'),
      modules: lines('modules'),
      directMap: lines('directmap'),
      symbols,
      cpuFlags: lines('flags').join(' '),
      wxCheck: lines('wx'),
      crashKernelLoaded: lines('crash')[0] === '1',
      registers,
    };
    return { facts, infoTlb: await readTables(running, gdb, registers) };
  } finally {
    gdb.close();
  }
}

/**
 * QEMU's listing of the leaves under every root: each CPU's, and under page-table isolation the kernel's half of the
 * pair. QEMU lists CR3's tables alone, so CR3 is changed for as long as it takes.
 */
async function readTables(
  { qmp }: RunningGuest,
  gdb: GdbRemote,
  registers: GuestFacts['registers'],
): Promise<Map<string, string>> {
  const tables = new Map<string, string>();
  for (const [cpu, { cr3 = '0' }] of registers.entries()) {
    const own = BigInt(`0x${cr3}`);
    const number = await findRegister(gdb, own, cpu);
    for (const root of [own, own & ~0x1000n]) {
      const name = `0x${(root & ~0xfffn).toString(16)}`;
      if (tables.has(name)) continue;
      await gdb.writeRegister(number, root, cpu);
      tables.set(name, (await qmp.monitor('info tlb', cpu)).replaceAll('\r', ''));
    }
    await gdb.writeRegister(number, own, cpu);
  }
  return tables;
}

/** Control registers come after RIP, RFLAGS and the selectors, and differ between QEMU's versions. */
async function findRegister(gdb: GdbRemote, value: bigint, cpu: number): Promise<number> {
  for (let number = 24; number < 40; number++) {
    if ((await gdb.readRegister(number, cpu)) === value) return number;
  }
  throw new Error(`no register of CPU ${cpu} has the value 0x${value.toString(16)} of CR3`);
}

/** Until some CPU is in user mode. */
async function runToUserMode({ qmp }: RunningGuest, cpus: number): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt++) {
    for (let cpu = 0; cpu < cpus; cpu++) {
      if (parseRegisters(await qmp.monitor('info registers', cpu)).cpl === '3') return;
    }
    await qmp.execute('cont');
    await delay(50 + attempt);
    await qmp.execute('stop');
  }
  throw new Error('the guest was never in user mode when it was stopped');
}

/** The first instruction of the system-call entry: CPL 0, and under page-table isolation still the user's tables. */
async function runToEntry({ told }: RunningGuest, gdb: GdbRemote): Promise<void> {
  const line = (told.get('symbols') ?? []).find((text) => text.endsWith(' entry_SYSCALL_64'));
  if (line === undefined) throw new Error('the guest tells no address of entry_SYSCALL_64');
  const address = BigInt(`0x${line.split(/\s+/)[0]}`);
  await gdb.setBreakpoint(address);
  await gdb.continueToBreakpoint(60_000);
  await gdb.clearBreakpoint(address);
  await gdb.step();
}

function parseRegisters(text: string): Record<string, string> {
  const field = (name: string, pattern: RegExp): [string, string] => [name, pattern.exec(text)?.[1] ?? ''];
  return Object.fromEntries([
    field('cr0', /CR0=([0-9a-f]+)/),
    field('cr3', /CR3=([0-9a-f]+)/),
    field('cr4', /CR4=([0-9a-f]+)/),
    field('efer', /EFER=([0-9a-f]+)/),
    field('cpl', /CPL=(\d)/),
    field('rip', /RIP=([0-9a-f]+)/),
  ]);
}

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { afterEach, describe, expect, it } from 'vitest';
import { infoTlbLine } from '../../info-tlb.ts';
import { resolveKernelRoot } from '../../root/resolve-kernel-root.ts';
import { fixturePath, inflatedFixture } from '../../testing/fixtures.ts';
import { type QmpGuest, type QmpGuestSettings, startQmpGuest } from '../../testing/qmp-guest.ts';
import { walkSlowly } from '../../testing/walk-slowly.ts';
import { openVmcore } from '../open-vmcore.ts';
import { tellGuard } from './keep-running.ts';
import { parseSocketAddress } from './socket-address.ts';

const NAME = 'k61-256-la57-kaslr';
const fixture = openVmcore(fixturePath(`${NAME}.elf.gz`));
const infoTlb = inflatedFixture(`${NAME}.info-tlb.txt.gz`).toString();

let folder = '';
let guest: QmpGuest | undefined;
async function started(settings: Partial<QmpGuestSettings>): Promise<QmpGuest> {
  folder = mkdtempSync(join(tmpdir(), 'live-'));
  const whole = { backend: false, lowEnd: 0xc000_0000, running: true, ...settings };
  guest = await startQmpGuest(folder, NAME, fixture, whole);
  return guest;
}
afterEach(async () => {
  await guest?.end();
  rmSync(folder, { recursive: true, force: true });
});

describe("a guest that runs under QEMU, by QEMU's gdb stub", () => {
  it.each([false, true])(
    'gives registers and page tables, and goes on (D without a process: %s)',
    async (pidless) => {
      const { gdbSocket, log } = await started({ pidless });
      const core = openVmcore(`GDB:${gdbSocket}`);
      expect(core.format).toBe('live QEMU');
      expect(core.cpus).toEqual(fixture.cpus.map((cpu) => ({ ...cpu, kernelGsBase: undefined })));
      const { root, levels, origin } = resolveKernelRoot(core);
      expect(origin.name).toBe('CR3 of CPU 0');
      expect(`${walkSlowly(core.memory, root, levels).map(infoTlbLine).join('\n')}\n`).toBe(infoTlb);
      // The next debugger reads virtual memory again.
      const end = ['Qqemu.PhyMemMode:0', 'D;1', ...(pidless ? ['D'] : [])];
      expect(log().slice(-end.length)).toEqual(end);
    },
  );

  it('goes on, too, when it cannot be read: by a stub that has no physical memory, or no such guest', async () => {
    const { gdbSocket, log } = await started({ refuses: 'PhyMemMode' });
    expect(() => openVmcore(`gdb:${gdbSocket}`)).toThrow("this gdb stub is not QEMU's");
    expect(log()).toEqual(['Qqemu.PhyMemMode:1', 'Qqemu.PhyMemMode:0', 'D;1']);
    expect(() => openVmcore(`gdb:${join(folder, 'missing')}`)).toThrow('cannot be connected to');
    expect(() => openVmcore('gdb:localhost:99999')).toThrow('localhost:99999 cannot be connected to: ');
  });

  it('goes on when the process that made it stand is killed', async () => {
    const { gdbSocket, log } = await started({ pidless: true });
    const guard = tellGuard([['gdb', { path: gdbSocket }]]);
    const ended = new Promise((resolve) => guard.once('exit', resolve));
    // What the system does to the pipe of a process that is killed.
    guard.stdin.end();
    await ended;
    for (let turn = 0; turn < 50 && !log().includes('D'); turn++) await delay(20);
    expect(log()).toEqual(['Qqemu.PhyMemMode:0', 'D;1', 'D']);
  });
});

it('what never ends a packet is no stub, however often it begins one', async () => {
  folder = mkdtempSync(join(tmpdir(), 'live-'));
  const path = join(folder, 'gdb');
  const flood = new Worker(
    `const { workerData, parentPort } = require('node:worker_threads');
    require('node:net').createServer((socket) => socket.end('$'.repeat(200_000))).listen(workerData, () => parentPort.postMessage(''));`,
    { eval: true, workerData: path },
  );
  await new Promise((ready) => flood.once('message', ready));
  expect(() => openVmcore(`gdb:${path}`)).toThrow('the connection ended');
  await flood.terminate();
});

it.each([
  ['localhost:1234', { host: 'localhost', port: 1234 }],
  [':1234', { host: 'localhost', port: 1234 }],
  ['[::1]:1234', { host: '::1', port: 1234 }],
  ['/run/gdb', { path: '/run/gdb' }],
  ['./a:b', { path: './a:b' }],
] as const)('the address %s is that of a port or of a path', (text, address) => {
  expect(parseSocketAddress(text)).toEqual(address);
});

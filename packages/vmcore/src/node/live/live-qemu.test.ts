import { closeSync, mkdtempSync, openSync, rmSync, truncateSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { virtualAddress, virtualFrameOf } from '@heki/physical-memory';
import { afterEach, describe, expect, it } from 'vitest';
import { infoTlbLine } from '../../info-tlb.ts';
import { mappedFrame } from '../../root/kernel-tables.ts';
import { resolveKernelRoot } from '../../root/resolve-kernel-root.ts';
import { fixturePath, inflatedFixture } from '../../testing/fixtures.ts';
import { type QmpGuest, type QmpGuestSettings, startQmpGuest, writeRam } from '../../testing/qmp-guest.ts';
import { walkSlowly } from '../../testing/walk-slowly.ts';
import { openVmcore } from '../open-vmcore.ts';
import { keepRunning, tellGuard } from './keep-running.ts';

const LOW_END = 0xc000_0000;
const NAME = 'k61-256-la57-kaslr';
const fixture = openVmcore(fixturePath(`${NAME}.elf.gz`));
const infoTlb = inflatedFixture(`${NAME}.info-tlb.txt.gz`).toString();

let folder = '';
let guest: QmpGuest | undefined;
async function started(settings: Partial<QmpGuestSettings>): Promise<QmpGuest> {
  folder = mkdtempSync(join(tmpdir(), 'live-'));
  const whole = { backend: true, lowEnd: LOW_END, running: true, ...settings };
  guest = await startQmpGuest(folder, NAME, fixture, whole);
  return guest;
}
afterEach(async () => {
  await guest?.end();
  rmSync(folder, { recursive: true, force: true });
});

/** A byte in the page of that frame; in the root, one of the last entry, which the kernel's image is mapped by. */
function changePage(path: string, frame: number): void {
  const file = openSync(path, 'r+');
  writeSync(file, Uint8Array.of(0x80), 0, 1, frame * 4096 + 4094);
  closeSync(file);
}

/** What no table of the guest has, but its CPU is at: guests of one snapshot differ in these. */
function changePageAt(path: string, address: bigint): void {
  const frame = mappedFrame(resolveKernelRoot(fixture), virtualFrameOf(virtualAddress(address)));
  expect(frame).toBeDefined();
  changePage(path, frame ?? 0);
}
const [cpu] = fixture.cpus;

function walked(socket: string): string {
  const core = openVmcore(`qmp:${socket}`);
  expect(core.format).toBe('live QEMU');
  expect(core.cpus).toEqual(fixture.cpus);
  const { root, levels } = resolveKernelRoot(core);
  return `${walkSlowly(core.memory, root, levels).map(infoTlbLine).join('\n')}\n`;
}

describe('a guest that runs under QEMU', () => {
  it('is read in the file that backs its RAM, and stands no longer than that takes', async () => {
    const { socket, log } = await started({});
    expect(walked(socket)).toBe(infoTlb);
    const commands = log();
    expect(commands.filter((name) => name === 'stop' || name === 'cont')).toEqual(['stop', 'cont']);
    expect(commands.at(-1)).toBe('cont');
    // A few for pages that the file is held to.
    const asked = commands.filter((name) => name === 'pmemsave').length;
    expect(asked).toBeGreaterThan(8);
    expect(asked).toBeLessThan(24);
    const { warnings } = openVmcore(`qmp:${socket}`);
    expect(warnings).toEqual([
      {
        id: 'ram-file',
        message: `memory was read in the file that QEMU names (${join(folder, 'memory')}), not by QEMU itself: ${asked} pages of it were held to what QEMU gives, among them root tables, code, stacks and own data of its CPUs, and are the same`,
      },
    ]);
  });

  it('is read page by page where no file backs its RAM', async () => {
    const { socket, log } = await started({ backend: false });
    expect(walked(socket)).toBe(infoTlb);
    expect(log().filter((name) => name === 'pmemsave').length).toBeGreaterThan(100);
    expect(log().at(-1)).toBe('cont');
    expect(openVmcore(`qmp:${socket}`).warnings).toEqual([]);
  });

  it.each([
    ['it is a folder, as with huge pages', { backendFolder: true }],
    ['RAM begins behind its start', { backendOffset: 4096 }],
  ])('is read page by page where the file of its RAM is not that alone: %s', async (_, settings) => {
    const { socket, log } = await started(settings);
    expect(walked(socket)).toBe(infoTlb);
    expect(log().filter((name) => name === 'pmemsave').length).toBeGreaterThan(100);
  });

  it.each([
    ['it is smaller', (path: string) => truncateSync(path, 2 ** 20)],
    [
      'its tables are those of another guest',
      (path: string) => changePage(path, resolveKernelRoot(fixture).root),
    ],
    ['its stack is', (path: string) => changePageAt(path, cpu?.registers.rsp ?? 0n)],
    ['its code is', (path: string) => changePageAt(path, cpu?.registers.rip ?? 0n)],
    ["its CPU's own data are", (path: string) => changePageAt(path, cpu?.segments.gs.base ?? 0n)],
  ])(
    'is read page by page where the file at the path that QEMU tells is that of another guest: %s',
    async (_, change) => {
      const { socket, log } = await started({ backendFile: 'other' });
      const other = join(folder, 'other');
      writeRam(other, fixture, LOW_END);
      change(other);
      expect(walked(socket)).toBe(infoTlb);
      expect(log().filter((name) => name === 'pmemsave').length).toBeGreaterThan(100);
      expect(log().at(-1)).toBe('cont');
    },
  );

  it('is read by the gdb stub where QEMU has one that is free, which is left as it was', async () => {
    const { socket, log } = await started({ backend: false, stub: true });
    expect(walked(socket)).toBe(infoTlb);
    const commands = log();
    expect(commands.filter((name) => name === 'human-monitor-command').length).toBe(1);
    expect(commands.filter((name) => /^m[0-9a-f]+,800$/.test(name)).length).toBeGreaterThan(200);
    expect(commands.slice(-3)).toEqual(['query-status', 'Qqemu.PhyMemMode:0', 'cont']);
  });

  it('goes on while its tables are read, where its reader wants that and its RAM is in a file', async () => {
    const { socket, log } = await started({});
    const core = openVmcore(`qmp:${socket}`, { whileItRuns: true });
    const { root, levels } = resolveKernelRoot(core);
    expect(`${walkSlowly(core.memory, root, levels).map(infoTlbLine).join('\n')}\n`).toBe(infoTlb);
    expect(core.cpus).toEqual(fixture.cpus);
    expect(core.warnings.map(({ id }) => id)).toEqual(['ram-file', 'running']);
    expect(log().filter((name) => name === 'stop' || name === 'cont')).toEqual([]);
    expect(log()).toContain('dump-guest-memory');
  });

  it.each([
    ['its RAM is not in a file', { backend: false }, () => {}],
    [
      'its root table is not what QEMU gives',
      { backendFile: 'other' },
      (path: string) => changePage(path, resolveKernelRoot(fixture).root),
    ],
  ])('stands all the same where %s', async (_, settings, change) => {
    const { socket, log } = await started(settings);
    writeRam(join(folder, 'other'), fixture, LOW_END);
    change(join(folder, 'other'));
    const core = openVmcore(`qmp:${socket}`, { whileItRuns: true });
    const { root, levels } = resolveKernelRoot(core);
    expect(`${walkSlowly(core.memory, root, levels).map(infoTlbLine).join('\n')}\n`).toBe(infoTlb);
    expect(core.warnings).toEqual([]);
    expect(log().filter((name) => name === 'stop' || name === 'cont')).toEqual(['stop', 'cont']);
  });

  it('is left as it stands when it stood before', async () => {
    const { socket, log } = await started({ running: false });
    expect(walked(socket)).toBe(infoTlb);
    expect(log().filter((name) => name === 'stop' || name === 'cont')).toEqual([]);
  });

  it('goes on, too, when it cannot be read', async () => {
    const { socket, log } = await started({ refuses: 'dump-guest-memory' });
    expect(() => openVmcore(`qmp:${join(folder, 'missing')}`)).toThrow('cannot be connected to');
    expect(() => openVmcore(`qmp:${socket}`)).toThrow('QEMU refuses dump-guest-memory');
    expect(log().slice(-3)).toEqual(['stop', 'dump-guest-memory', 'cont']);
  });

  it('is refused when another client of QEMU lets it go on while it is read', async () => {
    const { socket } = await started({ rival: true });
    expect(() => openVmcore(`qmp:${socket}`)).toThrow(
      'let go on by another client of QEMU while it was read',
    );
  });

  it('goes on by another process when the one that made it stand cannot let it go on', async () => {
    const { socket, log } = await started({ running: false });
    const letGoOn = keepRunning([['qmp', { path: socket }]]);
    expect(() =>
      letGoOn(() => {
        throw new Error('QEMU says nothing');
      }),
    ).toThrow('QEMU says nothing');
    for (let turn = 0; turn < 100 && !log().includes('cont'); turn++) await delay(20);
    expect(log()).toEqual(['qmp_capabilities', 'query-status', 'cont']);
  });

  it.each([
    [
      'goes on when the process that made it stand is killed',
      true,
      ['qmp_capabilities', 'query-status', 'cont'],
    ],
    ['is left to whoever made it stand when a process that let it go on before is killed', false, []],
  ])('%s', async (_, stands, commands) => {
    const { socket, log } = await started({ running: false });
    const letGoOn = keepRunning([['qmp', { path: socket }]]);
    if (!stands) letGoOn(() => {});
    const guard = tellGuard(stands ? [['qmp', { path: socket }]] : []);
    const ended = new Promise((resolve) => guard.once('exit', resolve));
    // What the system does to the pipe of a process that is killed.
    guard.stdin.end();
    await ended;
    expect(log()).toEqual(commands);
  });

  it('is watched by one process however often it is read, and by another when that one is gone', async () => {
    const standing = [['qmp', { path: '/nowhere' }]] as const;
    const guard = tellGuard(standing);
    const ended = new Promise((resolve) => guard.once('exit', resolve));
    expect(tellGuard([])).toBe(guard);
    expect(tellGuard(standing)).toBe(guard);
    guard.kill('SIGKILL');
    await ended;
    const other = tellGuard(standing);
    expect(other.pid).not.toBe(guard.pid);
    expect(tellGuard([])).toBe(other);
  });
});

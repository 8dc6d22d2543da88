import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { VmcoreError } from '../../error.ts';
import type { Note } from '../../note.ts';
import { readVmcore, type Vmcore, type VmcoreOptions } from '../../vmcore.ts';
import { connectGdb, type GdbStub } from './gdb-stub.ts';
import { guestRam, savedPages } from './guest-ram.ts';
import { keepRunning } from './keep-running.ts';
import { snapshotOf } from './live-snapshot.ts';
import { connectQmp, type Qmp } from './qmp.ts';
import { ForeignRamFile, isMostlyIn, openBackends, type RamFiles } from './ram-file.ts';
import { parseRam, type RamRange } from './ram-range.ts';
import { parseSocketAddress, type SocketAddress } from './socket-address.ts';

/**
 * What a guest that runs under QEMU is at this moment: registers, and the page tables that they and VMCOREINFO lead to, user halves
 * included, read into memory. The guest stands while they are read and goes on before this returns, or when this process is
 * killed; one that stood before is left so.
 *
 * @param path of QEMU's QMP socket (`-qmp unix:PATH,server=on,wait=off`)
 * @throws {VmcoreError} when it cannot be read
 */
export function readLiveQemu(path: string, options: VmcoreOptions = {}): Vmcore {
  const folder = makeFolder();
  try {
    const qmp = connectQmp(path);
    try {
      return readStopped(qmp, resolve(path), folder, options);
    } finally {
      qmp.close();
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function readStopped(qmp: Qmp, path: string, folder: string, options: VmcoreOptions): Vmcore {
  // What does not change is asked for while the guest runs.
  const ranges = parseRam(qmp.monitor('info mtree -f'));
  const files = openBackends(qmp, ranges);
  const stub = isMostlyIn(files, ranges) ? undefined : freeStub(qmp);
  if (Object(qmp.execute('query-status')).running !== true)
    return readStanding(qmp, folder, ranges, files, stub, options);
  const letGoOn = keepRunning([['qmp', { path }], ...(stub === undefined ? [] : [['gdb', stub] as const])]);
  try {
    qmp.execute('stop');
    return readStanding(qmp, folder, ranges, files, stub, options);
  } finally {
    letGoOn(() => qmp.execute('cont'));
  }
}

/** The guest, while it stands: in the files of its RAM, unless they are others here. */
function readStanding(
  qmp: Qmp,
  folder: string,
  ranges: readonly RamRange[],
  files: RamFiles,
  stub: SocketAddress | undefined,
  options: VmcoreOptions,
): Vmcore {
  const notes = readNotes(qmp, folder);
  const gdb = stub === undefined ? undefined : connectIfPossible(stub);
  try {
    const fetch = (addresses: readonly number[]) =>
      gdb === undefined ? savedPages(qmp, folder, addresses) : addresses.map(gdb.physicalPage);
    try {
      return snapshotOf(guestRam(ranges, files, fetch), notes, options);
    } catch (error) {
      if (!(error instanceof ForeignRamFile)) throw error;
      return snapshotOf(guestRam(ranges, new Map(), fetch), notes, options);
    }
  } finally {
    gdb?.close();
  }
}

/** The address of QEMU's gdb stub, if it has one and no debugger is there: it gives pages four times as fast as the monitor. */
function freeStub(qmp: Qmp): SocketAddress | undefined {
  const devices = qmp.execute('query-chardev');
  if (!Array.isArray(devices)) return undefined;
  const { filename } = Object(devices.find((device) => Object(device).label === 'gdb'));
  const [, address] = /^disconnected:(?:unix|tcp):(.+?),server/.exec(String(filename)) ?? [];
  return address === undefined ? undefined : parseSocketAddress(address);
}

/** QEMU may run elsewhere: then its stub is not at the address that it tells. */
function connectIfPossible(address: SocketAddress): GdbStub | undefined {
  let stub: GdbStub | undefined;
  try {
    stub = connectGdb(address);
    stub.readPhysical();
    return stub;
  } catch (error) {
    stub?.close();
    if (error instanceof VmcoreError) return undefined;
    throw error;
  }
}

/** The notes that a dump would have: QEMU writes one of a single page, which takes some milliseconds. */
function readNotes(qmp: Qmp, folder: string): readonly Note[] {
  try {
    const file = join(folder, 'notes');
    qmp.execute('dump-guest-memory', { paging: false, protocol: `file:${file}`, begin: 0, length: 4096 });
    return readVmcore(readFileSync(file)).notes;
  } catch (cause) {
    if (cause instanceof VmcoreError) throw cause;
    throw new VmcoreError(
      `QEMU's note of the registers cannot be read: ${(cause as Error).message} (does it run as another user, or in a container?)`,
      { cause },
    );
  }
}

/** A folder that QEMU can write to, which may run as somebody else. */
function makeFolder(): string {
  try {
    const folder = mkdtempSync(join(tmpdir(), 'heki-'));
    chmodSync(folder, 0o733);
    return folder;
  } catch (cause) {
    throw new VmcoreError(`no folder for what QEMU writes: ${(cause as Error).message}`, { cause });
  }
}

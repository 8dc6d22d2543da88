import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { VmcoreError } from '../../error.ts';
import type { Note } from '../../note.ts';
import { readVmcore, type Vmcore, type VmcoreOptions } from '../../vmcore.ts';
import { connectGdb, type GdbStub } from './gdb-stub.ts';
import { ForeignRamFile, guestRam, monitorPage, openBackends, parseRam } from './guest-ram.ts';
import { keepRunning } from './keep-running.ts';
import { snapshotOf } from './live-snapshot.ts';
import { connectQmp, type Qmp } from './qmp.ts';
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
  const qmp = connectQmp(path);
  try {
    // What does not change is asked for while the guest runs.
    const ranges = parseRam(qmp.monitor('info mtree -f'));
    const files = openBackends(qmp, ranges);
    const stub = ranges.every(({ block }) => files.has(block)) ? undefined : freeStub(qmp);
    const read = (): Vmcore => {
      const notes = readNotes(qmp);
      const gdb = stub === undefined ? undefined : connectIfPossible(stub);
      try {
        const fetch = gdb?.physicalPage ?? ((at: number) => monitorPage(qmp, at));
        try {
          return snapshotOf(guestRam(ranges, files, fetch), notes, options);
        } catch (error) {
          if (!(error instanceof ForeignRamFile)) throw error;
          return snapshotOf(guestRam(ranges, new Map(), fetch), notes, options);
        }
      } finally {
        gdb?.close();
      }
    };
    if (Object(qmp.execute('query-status')).running !== true) return read();
    const done = [keepRunning('qmp', { path: resolve(path) })];
    if (stub !== undefined) done.push(keepRunning('gdb', stub));
    try {
      qmp.execute('stop');
      return read();
    } finally {
      qmp.execute('cont');
      for (const tell of done) tell();
    }
  } finally {
    qmp.close();
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
function connectIfPossible(stub: SocketAddress): GdbStub | undefined {
  try {
    return connectGdb(stub);
  } catch (error) {
    if (error instanceof VmcoreError) return undefined;
    throw error;
  }
}

/** The notes that a dump would have: QEMU writes one of a single page, which takes some milliseconds. */
function readNotes(qmp: Qmp): readonly Note[] {
  const folder = mkdtempSync(join(tmpdir(), 'heki-'));
  try {
    // QEMU may run as somebody else.
    chmodSync(folder, 0o733);
    const file = join(folder, 'notes');
    qmp.execute('dump-guest-memory', { paging: false, protocol: `file:${file}`, begin: 0, length: 4096 });
    return readVmcore(readFileSync(file)).notes;
  } catch (cause) {
    if (cause instanceof VmcoreError) throw cause;
    throw new VmcoreError(
      `QEMU's note of the registers cannot be read: ${(cause as Error).message} (does it run as another user, or in a container?)`,
      { cause },
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

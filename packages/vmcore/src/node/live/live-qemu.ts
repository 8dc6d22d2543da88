import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { DumpWarning } from '../../dump-warning.ts';
import { VmcoreError } from '../../error.ts';
import type { Note } from '../../note.ts';
import { readVmcore, type Vmcore, type VmcoreOptions } from '../../vmcore.ts';
import { framesInUse, rootsInUse } from './frames-in-use.ts';
import { connectGdb, type GdbStub } from './gdb-stub.ts';
import { guestRam, savedPages } from './guest-ram.ts';
import { keepRunning } from './keep-running.ts';
import { snapshotOf } from './live-snapshot.ts';
import { connectQmp, type Qmp } from './qmp.ts';
import { ForeignRamFile, isMostlyIn, openBackends, type RamFiles } from './ram-file.ts';
import { parseRam, type RamRange } from './ram-range.ts';
import { parseSocketAddress, type SocketAddress } from './socket-address.ts';

/** How a guest that runs is read. */
export interface LiveOptions extends VmcoreOptions {
  /** Whether it goes on meanwhile, if its RAM is in a file. Default: it stands. */
  readonly whileItRuns?: boolean | undefined;
}

/**
 * What a guest that runs under QEMU is at this moment: registers, and the page tables that they and VMCOREINFO lead to, user halves
 * included, read into memory. The guest stands while they are read and goes on before this returns, or when this process is
 * killed; one that stood before is left so.
 * With `whileItRuns` it stands for the millisecond that QEMU takes to write its registers down; where what is read proves to be no moment's, it is
 * made to stand and read again.
 *
 * @param path of QEMU's QMP socket (`-qmp unix:PATH,server=on,wait=off`)
 * @throws {VmcoreError} when it cannot be read
 */
export function readLiveQemu(path: string, options: LiveOptions = {}): Vmcore {
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

function readStopped(qmp: Qmp, path: string, folder: string, options: LiveOptions): Vmcore {
  // What does not change is asked for while the guest runs.
  const ranges = parseRam(qmp.monitor('info mtree -f'));
  let files = openBackends(qmp, ranges);
  const stub = isMostlyIn(files, ranges) ? undefined : freeStub(qmp);
  if (!isRunning(qmp)) return readStanding(qmp, folder, ranges, files, stub, options);
  if (options.whileItRuns === true && stub === undefined && files.size > 0) {
    const core = readRunning(qmp, folder, ranges, files, options);
    if (core !== undefined) return core;
    files = openBackends(qmp, ranges);
  }
  const letGoOn = keepRunning([['qmp', { path }], ...(stub === undefined ? [] : [['gdb', stub] as const])]);
  try {
    qmp.execute('stop');
    return readStanding(qmp, folder, ranges, files, stub, options);
  } finally {
    letGoOn(() => qmp.execute('cont'));
  }
}

function isRunning(qmp: Qmp): boolean {
  return Object(qmp.execute('query-status')).running === true;
}

const RUNNING: DumpWarning = {
  id: 'running',
  message: 'the guest ran while its page tables were read: they are of several moments',
};

/** The guest, while it goes on; `undefined` where that cannot be, or what it changed meanwhile cannot be told from another guest's memory. */
function readRunning(
  qmp: Qmp,
  folder: string,
  ranges: readonly RamRange[],
  files: RamFiles,
  options: VmcoreOptions,
): Vmcore | undefined {
  try {
    const fetch = (addresses: readonly number[]) => savedPages(qmp, folder, addresses);
    const core = snapshotOf(guestRam(ranges, files, fetch), readNotes(qmp, folder), options, rootsInUse);
    return Object.assign(core, { warnings: [...core.warnings, RUNNING] });
  } catch (error) {
    if (error instanceof ForeignRamFile || error instanceof VmcoreError) return undefined;
    throw error;
  }
}

/**
 * The guest, while it stands: in the files of its RAM, unless they are others here.
 *
 * @throws {VmcoreError} when another client of QEMU let it go on before it was read: its memory is of several moments then
 */
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
    const core = snapshotBy(ranges, files, fetch, notes, options);
    if (isRunning(qmp)) {
      throw new VmcoreError('the guest was let go on by another client of QEMU while it was read');
    }
    return core;
  } finally {
    gdb?.close();
  }
}

function snapshotBy(
  ranges: readonly RamRange[],
  files: RamFiles,
  fetch: (addresses: readonly number[]) => readonly Uint32Array[],
  notes: readonly Note[],
  options: VmcoreOptions,
): Vmcore {
  try {
    return snapshotOf(guestRam(ranges, files, fetch), notes, options, framesInUse);
  } catch (error) {
    if (!(error instanceof ForeignRamFile)) throw error;
    return snapshotOf(guestRam(ranges, new Map(), fetch), notes, options, framesInUse);
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

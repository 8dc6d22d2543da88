import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { VmcoreError } from '../../error.ts';
import type { Note } from '../../note.ts';
import { readVmcore, type Vmcore, type VmcoreOptions } from '../../vmcore.ts';
import { guestRam, monitorPage, openBackends, parseRam } from './guest-ram.ts';
import { keepRunning } from './keep-running.ts';
import { snapshotOf } from './live-snapshot.ts';
import { connectQmp, type Qmp } from './qmp.ts';

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
    const status = Object(qmp.execute('query-status'));
    if (status.running !== true) return readStanding(qmp, options);
    const done = keepRunning('qmp', { path: resolve(path) });
    try {
      qmp.execute('stop');
      return readStanding(qmp, options);
    } finally {
      qmp.execute('cont');
      done();
    }
  } finally {
    qmp.close();
  }
}

function readStanding(qmp: Qmp, options: VmcoreOptions): Vmcore {
  const notes = readNotes(qmp);
  const ranges = parseRam(qmp.monitor('info mtree -f'));
  const files = openBackends(qmp, ranges);
  return snapshotOf(
    guestRam(ranges, files, (at) => monitorPage(qmp, at)),
    notes,
    options,
  );
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

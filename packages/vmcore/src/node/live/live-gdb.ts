import type { Vmcore, VmcoreOptions } from '../../vmcore.ts';
import { framesInUse } from './frames-in-use.ts';
import { connectGdb, type GdbStub } from './gdb-stub.ts';
import { guestRam } from './guest-ram.ts';
import { keepRunning } from './keep-running.ts';
import { snapshotOf } from './live-snapshot.ts';
import { notesOfRegisters } from './monitor-registers.ts';
import { parseRam } from './ram-range.ts';
import { parseSocketAddress } from './socket-address.ts';

/**
 * What a guest that runs under QEMU is at this moment, by QEMU's gdb stub: registers and page tables, as `readLiveQemu` gives them; the
 * kernel's own note of itself is not told by the stub. Connecting makes the guest stand; it goes on before this returns,
 * or when this process is killed. Whether it stood before, the stub does not tell.
 *
 * @param address `HOST:PORT`, or the path of a Unix socket
 * @throws {VmcoreError} when it cannot be read
 */
export function readLiveGdb(address: string, options: VmcoreOptions = {}): Vmcore {
  const where = parseSocketAddress(address);
  const letGoOn = keepRunning([['gdb', where]]);
  let stub: GdbStub;
  try {
    stub = connectGdb(where);
  } catch (error) {
    letGoOn(() => {});
    throw error;
  }
  try {
    stub.readPhysical();
    const notes = notesOfRegisters(stub.monitor('info registers -a'));
    const ranges = parseRam(stub.monitor('info mtree -f'));
    return snapshotOf(
      guestRam(ranges, new Map(), (addresses) => addresses.map(stub.physicalPage)),
      notes,
      options,
      framesInUse,
    );
  } finally {
    letGoOn(stub.resume);
  }
}

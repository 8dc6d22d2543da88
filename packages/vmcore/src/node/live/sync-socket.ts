import { VmcoreError } from '../../error.ts';
import { DUMP_LIMITS } from '../../limits.ts';
import { startSyncWorker } from '../sync-worker.ts';
import { type SocketAddress, socketName } from './socket-address.ts';

/** A connection that is waited for: memory is read synchronously. */
export interface SyncSocket {
  send(text: string): void;
  /**
   * What came, at least a byte.
   *
   * @param deadline by when the answer that it belongs to must be whole, as of `performance.now()`
   * @throws {VmcoreError} when nothing comes in time, or the connection ends
   */
  receive(deadline: number): string;
  close(): void;
}

/** Moves what comes and goes, and nothing else. */
const PUMP = `
const connect = () => {
  // A malformed address is thrown, and not told.
  try { return require('node:net').connect(input); } catch (error) { tell({ ended: error.message }); process.exit(); }
};
const socket = connect();
socket.setNoDelay(true);
socket.setEncoding('latin1');
socket.on('connect', () => tell({ open: true }));
socket.on('data', (text) => tell({ text }));
socket.on('error', (error) => tell({ ended: error.message }));
socket.on('close', () => tell({ ended: 'it was closed' }));
port.on('message', (text) => { if (text === null) { socket.destroy(); port.close(); } else socket.write(text, 'latin1'); });
`;

/** What the pump tells. */
interface Told {
  readonly open?: true;
  readonly text?: string;
  readonly ended?: string;
}

/** By when an answer that is asked for now must be whole. */
export function answerDeadline(): number {
  return performance.now() + DUMP_LIMITS.guestAnswer;
}

/** Connects to the socket at `address`. @throws {VmcoreError} when no process listens there */
export function connectSync(address: SocketAddress): SyncSocket {
  const name = socketName(address);
  const pump = startSyncWorker<Told>(PUMP, address, name, DUMP_LIMITS.guestSilence);
  const { ended } = pump.next(answerDeadline());
  if (ended !== undefined) {
    pump.post(null);
    throw new VmcoreError(`${name} cannot be connected to: ${ended}`);
  }
  let end: Told | undefined;
  return {
    send: (text) => pump.post(text),
    receive(deadline) {
      const told = end ?? pump.next(deadline);
      if (told.text !== undefined) return told.text;
      // It is told once, and whoever is asked to leave afterwards asks again.
      end = told;
      throw new VmcoreError(`${name}: the connection ended: ${told.ended}`);
    },
    close: () => pump.post(null),
  };
}

import { MessageChannel, receiveMessageOnPort, Worker } from 'node:worker_threads';
import { VmcoreError } from '../../error.ts';
import { DUMP_LIMITS } from '../../limits.ts';
import { type SocketAddress, socketName } from './socket-address.ts';

/** A connection that is waited for: memory is read synchronously. */
export interface SyncSocket {
  send(text: string): void;
  /** What came, at least a byte. @throws {VmcoreError} when nothing comes in time, or the connection ends */
  receive(): string;
  close(): void;
}

/** Runs in a worker thread: moves what comes and goes, and nothing else, so that it needs no file of its own. */
const PUMP = `
const { port, count, address } = require('node:worker_threads').workerData;
const tell = (message) => { port.postMessage(message); Atomics.add(count, 0, 1); Atomics.notify(count, 0); };
const connect = () => {
  // A malformed address is thrown, and not told.
  try { return require('node:net').connect(address); } catch (error) { tell({ ended: error.message }); process.exit(); }
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

/** Connects to the socket at `address`. @throws {VmcoreError} when no process listens there */
export function connectSync(address: SocketAddress): SyncSocket {
  const name = socketName(address);
  // The thread sleeps in Atomics.wait until the worker has counted one more message.
  const count = new Int32Array(new SharedArrayBuffer(4));
  const { port1, port2 } = new MessageChannel();
  const worker = new Worker(PUMP, {
    eval: true,
    // Options of this process, as --input-type=module, are not for the pump.
    execArgv: [],
    workerData: { port: port2, count, address },
    transferList: [port2],
  });
  worker.unref();

  function next(): Told {
    for (;;) {
      const seen = Atomics.load(count, 0);
      const received: { readonly message: Told } | undefined = receiveMessageOnPort(port1);
      if (received !== undefined) return received.message;
      if (Atomics.wait(count, 0, seen, DUMP_LIMITS.guestSilence) === 'timed-out') {
        throw new VmcoreError(`${name}: nothing came for ${DUMP_LIMITS.guestSilence / 1000} seconds`);
      }
    }
  }

  const { ended } = next();
  if (ended !== undefined) {
    port1.postMessage(null);
    throw new VmcoreError(`${name} cannot be connected to: ${ended}`);
  }
  return {
    send: (text) => port1.postMessage(text),
    receive() {
      const { text, ended: why } = next();
      if (text === undefined) throw new VmcoreError(`${name}: the connection ended: ${why}`);
      return text;
    },
    close: () => port1.postMessage(null),
  };
}

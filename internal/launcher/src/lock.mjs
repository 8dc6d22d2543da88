// One process of this machine at a time. The lock is a socket that its holder listens on: the kernel lets go of it when the
// holder ends, however it ends, so that no lock is ever left behind, and those who wait need not ask again and again.
import { createHash } from 'node:crypto';
import { unlinkSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * Does `work` while no other process does work under the same name.
 *
 * `work` gets an entry for the `stdio` of child processes, which then keep the lock, too: should this process be killed,
 * nothing gets in the way of what it started.
 *
 * @template T
 * @param {string} name
 * @param {(stdio: number | 'ignore') => Promise<T>} work
 * @param {() => void} onWait is called once, when another process has the lock
 * @returns {Promise<T>}
 */
export async function withLock(name, work, onWait) {
  const address = addressOf(name);
  for (let waits = 0; ; waits++) {
    const held = await listen(address);
    if (held !== undefined) {
      try {
        return await work(held.stdio);
      } finally {
        held.release();
      }
    }
    if (waits === 0) onWait();
    const wasHeld = await isReleased(address);
    // A socket in the file system outlives its holder. Linux and Windows have sockets that do not.
    if (!wasHeld && !address.startsWith('\0')) unlinkSync(address);
  }
}

function addressOf(name) {
  const id = `heki-${createHash('sha256').update(name).digest('hex').slice(0, 32)}`;
  if (process.platform === 'linux') return `\0${id}`;
  return process.platform === 'win32' ? `\\\\.\\pipe\\${id}` : join(tmpdir(), `${id}.lock`);
}

/** A socket that listens at `address`, or undefined when another process has it. */
function listen(address) {
  return new Promise((resolve, reject) => {
    const socket = createServer();
    const waiting = new Set();
    socket.on('connection', (other) => waiting.add(other.on('error', () => {})));
    const release = () => {
      socket.close();
      for (const other of waiting) other.destroy();
    };
    socket.once('error', (error) => (error.code === 'EADDRINUSE' ? resolve(undefined) : reject(error)));
    // Node's own name for the descriptor; Windows has none, and there the lock is this process's alone.
    socket.listen(address, () =>
      resolve({ release, stdio: socket._handle?.fd > 0 ? socket._handle.fd : 'ignore' }),
    );
  });
}

/** Waits until the holder at `address` lets go. Answers whether there was one. */
function isReleased(address) {
  return new Promise((resolve) => {
    const connection = connect(address);
    let connected = false;
    connection.on('connect', () => {
      connected = true;
    });
    connection.on('error', () => {});
    connection.on('close', () => resolve(connected));
    connection.resume();
  });
}

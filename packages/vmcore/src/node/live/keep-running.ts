import { type ChildProcessByStdio, spawn } from 'node:child_process';
import type { Writable } from 'node:stream';
import type { SocketAddress } from './socket-address.ts';

/** What a guest that was made to stand goes on by. */
export type Resumption = 'qmp' | 'gdb';

/**
 * Runs in a process of its own, which outlives a heki that is killed: when the pipe to it ends before it is told that all is
 * done, it lets the guest go on. By QMP, if it stands. A gdb stub makes it stand for whoever connects, and lets it go on for one that
 * leaves by D, of process 1 where a debugger before it asked for several; reading of physical memory, which QEMU keeps for the next debugger, is switched off before.
 */
const GUARD = `
const [kind, address] = process.argv.slice(1);
const packet = (text) => '$' + text + '#' + Buffer.from(text).reduce((sum, byte) => (sum + byte) % 256, 0).toString(16).padStart(2, '0');
function byQmp(socket) {
  let text = '', asked = false;
  const send = (execute, id) => socket.write(JSON.stringify({ execute, id }) + '\\n');
  socket.on('data', (data) => {
    text += data;
    if (!asked && text.includes('QMP')) { asked = true; send('qmp_capabilities', 1); send('query-status', 2); }
    const status = /\\{[^\\n]*"id": 2[^\\n]*\\}/.exec(text);
    if (status === null) return;
    if (status[0].includes('"paused"')) send('cont', 3);
    socket.end();
  });
}
function byGdb(socket) {
  const left = ['Qqemu.PhyMemMode:0', 'D;1', 'D', 'c'];
  let text = '', sent = '';
  const next = () => {
    sent = left.shift();
    text = '';
    socket.write(packet(sent));
    if (sent === 'c') socket.end();
  };
  socket.on('connect', next);
  socket.on('data', (data) => {
    text += data;
    const [, answer] = /\\$((?!T)[^#]*)#[0-9a-f]{2}/.exec(text) ?? [];
    if (answer === undefined) return;
    socket.write('+');
    if (sent.startsWith('D') && answer === 'OK') socket.end();
    else next();
  });
}
let told = false;
process.stdin.on('data', () => { told = true; });
process.stdin.on('end', () => {
  if (told) return;
  const socket = require('node:net').connect(JSON.parse(address));
  socket.on('error', () => process.exit(1));
  socket.setTimeout(10000, () => process.exit(1));
  (kind === 'qmp' ? byQmp : byGdb)(socket);
});
`;

/** Starts the process that waits for the end of this one. */
export function startGuard(
  kind: Resumption,
  address: SocketAddress,
): ChildProcessByStdio<Writable, null, null> {
  const guard = spawn(process.execPath, ['-e', GUARD, kind, JSON.stringify(address)], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  guard.unref();
  // One that could not be started cannot be told anything.
  guard.on('error', () => {});
  guard.stdin.on('error', () => {});
  return guard;
}

/**
 * From now on, a guest that was made to stand goes on when this process ends, in each of these ways. The function that is given back lets it go on by
 * `resume`, which leaves the guest in any case; where that fails, the processes do.
 */
export function keepRunning(
  ways: readonly (readonly [kind: Resumption, address: SocketAddress])[],
): (resume: () => void) => void {
  const guards = ways.map(([kind, address]) => startGuard(kind, address));
  return (resume) => {
    try {
      resume();
      for (const { stdin } of guards) stdin.write('done');
    } finally {
      for (const { stdin } of guards) stdin.end();
    }
  };
}

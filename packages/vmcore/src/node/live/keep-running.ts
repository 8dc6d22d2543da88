import { type ChildProcessByStdio, spawn } from 'node:child_process';
import type { Writable } from 'node:stream';
import type { SocketAddress } from './socket-address.ts';

/** What a guest that was made to stand goes on by. */
type Resumption = 'qmp' | 'gdb';

/** A guest that was made to stand, and how it is reached. */
export type Standing = readonly [kind: Resumption, address: SocketAddress];

/**
 * Runs in a process of its own, which outlives a heki that is killed. Each line that it is told holds, in JSON, what stands from then on, or
 * nothing: when the pipe ends, it lets go on what the last one tells. By QMP, if it stands. A gdb stub makes a guest stand for whoever connects,
 * and lets it go on for one that leaves by D, of process 1 where a debugger before it asked for several; reading of physical memory, which
 * QEMU keeps for the next debugger, is switched off before.
 */
const GUARD = `
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
let text = '';
process.stdin.on('data', (data) => {
  text += data;
  // The last line, and the one that may be on its way.
  text = text.split('\\n').slice(-2).join('\\n');
});
process.stdin.on('end', () => {
  for (const [kind, address] of JSON.parse(text.split('\\n').at(-2) || '[]')) {
    const socket = require('node:net').connect(address);
    socket.on('error', () => socket.destroy());
    socket.setTimeout(10000, () => socket.destroy());
    (kind === 'qmp' ? byQmp : byGdb)(socket);
  }
});
`;

/** That of this thread: it is kept, because to start a process takes longer than to read most guests. */
let guard: Guard | undefined;

/** Tells `standing` to the process that waits for the end of this one, which is started where none is there. */
export function tellGuard(standing: readonly Standing[]): Guard {
  const line = `${JSON.stringify(standing)}\n`;
  // A pipe takes a line at once, or tells at once that no process is at its end.
  guard?.stdin.write(line);
  if (guard?.stdin.writable !== true) {
    guard = startGuard();
    guard.stdin.write(line);
  }
  return guard;
}

type Guard = ChildProcessByStdio<Writable, null, null>;

function startGuard(): Guard {
  const started = spawn(process.execPath, ['-e', GUARD], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  started.unref();
  // One that could not be started cannot be told anything.
  started.on('error', () => {});
  started.stdin.on('error', () => {});
  return started;
}

/**
 * From now on, a guest that was made to stand goes on when this process ends, in each of these ways. The function that is given back lets it go on by
 * `resume`, which leaves the guest in any case; where that fails, the process that waits does.
 */
export function keepRunning(standing: readonly Standing[]): (resume: () => void) => void {
  tellGuard(standing);
  return (resume) => {
    try {
      resume();
    } catch (error) {
      guard?.stdin.end();
      guard = undefined;
      throw error;
    }
    tellGuard([]);
  };
}

import { type ChildProcessByStdio, spawn } from 'node:child_process';
import type { Writable } from 'node:stream';

/**
 * Runs in a process of its own, which outlives a heki that is killed: when the pipe to it ends before it is told that all is
 * done, it lets a guest that stands go on.
 */
const GUARD = `
let told = false;
process.stdin.on('data', () => { told = true; });
process.stdin.on('end', () => {
  if (told) return;
  const socket = require('node:net').connect(process.argv[1]);
  let text = '', asked = false;
  const send = (execute, id) => socket.write(JSON.stringify({ execute, id }) + '\\n');
  socket.on('error', () => process.exit(1));
  socket.on('data', (data) => {
    text += data;
    if (!asked && text.includes('QMP')) { asked = true; send('qmp_capabilities', 1); send('query-status', 2); }
    const status = /\\{[^\\n]*"id": 2[^\\n]*\\}/.exec(text);
    if (status === null) return;
    if (status[0].includes('"paused"')) send('cont', 3);
    socket.end();
  });
});
`;

/** Starts the process that waits for the end of this one. */
export function startGuard(path: string): ChildProcessByStdio<Writable, null, null> {
  const guard = spawn(process.execPath, ['-e', GUARD, path], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  guard.unref();
  // One that could not be started cannot be told anything.
  guard.on('error', () => {});
  guard.stdin.on('error', () => {});
  return guard;
}

/** From now on, the guest behind the QMP socket at `path` goes on when this process ends, until the function is called. */
export function keepRunning(path: string): () => void {
  const { stdin } = startGuard(path);
  return () => void stdin.end('done');
}

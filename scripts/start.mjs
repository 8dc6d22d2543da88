// `npm start`: sets up what is missing, then runs the heki command. Without arguments it does the main job:
// it protects the embedded real kernel and attacks it.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { prepare, root } from './prepare.mjs';

prepare();

const args = process.argv.slice(2);
const heki = spawn(
  process.execPath,
  [join(root, 'packages', 'heki', 'dist', 'main.js'), ...(args.length > 0 ? args : ['protect'])],
  { stdio: 'inherit', cwd: process.env.INIT_CWD ?? process.cwd() },
);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => heki.kill(signal));
heki.on('exit', (code, signal) => {
  if (signal !== null) {
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  } else {
    process.exitCode = code ?? 1;
  }
});

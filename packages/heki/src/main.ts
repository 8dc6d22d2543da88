#!/usr/bin/env node
import { isMainThread } from 'node:worker_threads';
import { bundledCommand } from './bundle.ts';
import type { CommandIo } from './io.ts';
import { optimizeLate } from './optimize-late.ts';

optimizeLate();
const bundled = bundledCommand();
/** The rest of the command. What keeps it from being loaded, as too few files that may be open, is told in a line. */
const loaded: typeof import('./command.ts') = await (bundled === undefined
  ? import('./command.ts')
  : import(bundled.href)
).catch((error: unknown) => {
  const [why] = (error instanceof Error ? error.message : String(error)).split('\n');
  process.stderr.write(`heki: its own files cannot be loaded: ${why}\n`);
  process.exit(3);
});
const { mayRunModules, processOutput, run, runAsThread, runInThread } = loaded;

if (isMainThread) {
  const args = process.argv.slice(2);
  const threadEntry = new URL(import.meta.url);
  const io: CommandIo = {
    stdout: processOutput(process.stdout),
    stderr: processOutput(process.stderr),
    env: process.env,
    threadEntry,
    interrupt() {
      const controller = new AbortController();
      for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => controller.abort());
      return controller.signal;
    },
  };
  process.exitCode = await (mayRunModules(args) ? runInThread(threadEntry, args, io) : run(args, io));
} else {
  await runAsThread();
}

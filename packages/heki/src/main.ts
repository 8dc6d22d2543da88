#!/usr/bin/env node
import { bundledCommand } from './bundle.ts';

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
const { processOutput, run } = loaded;

process.exitCode = await run(process.argv.slice(2), {
  stdout: processOutput(process.stdout),
  stderr: processOutput(process.stderr),
  env: process.env,
  interrupt() {
    const controller = new AbortController();
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => controller.abort());
    return controller.signal;
  },
});

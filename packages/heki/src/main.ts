#!/usr/bin/env node
/** The rest of the command. What keeps it from being loaded, as too few files that may be open, is told in a line. */
const loaded = await Promise.all([import('./io.ts'), import('./run.ts')]).catch((error: unknown) => {
  const [why] = (error instanceof Error ? error.message : String(error)).split('\n');
  process.stderr.write(`heki: its own files cannot be loaded: ${why}\n`);
  process.exit(3);
});
const [{ processOutput }, { run }] = loaded;

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

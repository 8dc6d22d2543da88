import { MOST_REPORT_BYTES, serveJobs } from '@heki/fleet/worker';
import { ExitCode, UsageError } from '../../failure.ts';
import type { CommandIo, Output } from '../../io.ts';

type Run = (args: readonly string[], io: CommandIo) => Promise<number>;

/** The process that does the jobs of a worker. @param memoryLimit MiB */
export async function fleetServeJobs(memoryLimit: number, run: Run): Promise<number> {
  if (process.send === undefined) throw new UsageError('fleet serve-jobs: only heki fleet starts it');
  await serveJobs((args) => runToText(args, run), { memoryLimit });
  return ExitCode.SUCCESS;
}

async function runToText(args: readonly string[], run: Run): Promise<{ exitCode: number; report: string }> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  const stdout: Output = {
    async write(data) {
      bytes += data.length;
      if (bytes > MOST_REPORT_BYTES) throw new RangeError(`a report of more than ${MOST_REPORT_BYTES} bytes`);
      chunks.push(Buffer.from(data));
    },
    isTerminal: false,
    columns: undefined,
  };
  const exitCode = await run(args, {
    ...{ stdout, env: {} },
    stderr: { write: () => Promise.resolve(), isTerminal: false, columns: undefined },
  });
  return { exitCode, report: Buffer.concat(chunks).toString() };
}

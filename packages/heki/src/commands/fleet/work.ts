import { ExitCode } from '../../failure.ts';
import { type FleetOptions, openFleet } from '../../fleet/open-fleet.ts';
import { concurrencyOf, type WorkOptionsHere, workHere } from '../../fleet/work-here.ts';
import type { CommandIo } from '../../io.ts';
import { number } from '../../quantity.ts';
import { writeReport } from '../../report/write-report.ts';

/** Takes jobs and does them. The exit code tells of the worker, and not of the guests. */
export async function fleetWork(
  options: FleetOptions & WorkOptionsHere & { readonly stay?: boolean; readonly json?: boolean },
  io: CommandIo,
): Promise<number> {
  const { queue } = await openFleet(options, {
    connections: concurrencyOf(options) + 1,
    supervise: true,
  });
  try {
    let told = '';
    const { done, failed, auditing, queueing } = await workHere(
      queue,
      options,
      options.stay !== true,
      io,
      (event) => {
        if (options.log === 'json') return;
        // A database that is away for long is told once.
        if (event.event === 'waiting' && event.reason !== told) {
          told = event.reason;
          void io.stderr.write(`heki: the database cannot be reached, trying again: ${event.reason}\n`);
        } else if (event.event === 'failed') {
          void io.stderr.write(`heki: ${event.job.item.source.uri}: ${event.reason}\n`);
        }
      },
    );
    await writeReport(
      'fleet-work',
      {
        json: () => ({ done, failed, auditingMs: Math.round(auditing), queueingMs: Math.round(queueing) }),
        text: () => [`${number(done)} done, ${number(failed)} failed`],
      },
      options,
      io,
    );
  } finally {
    await queue.close();
  }
  return ExitCode.SUCCESS;
}

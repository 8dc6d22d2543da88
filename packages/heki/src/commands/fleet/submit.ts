import { ExitCode } from '../../failure.ts';
import { type FleetOptions, openFleet } from '../../fleet/open-fleet.ts';
import { missingLine } from '../../fleet/result-text.ts';
import { type SubmitOptions, workItems } from '../../fleet/work-items.ts';
import type { CommandIo } from '../../io.ts';
import { number } from '../../quantity.ts';
import { writeReport } from '../../report/write-report.ts';

/** Adds guests to the queue. The exit code: 1 when a file of a pattern is not there. */
export async function fleetSubmit(
  sources: readonly string[],
  options: FleetOptions & SubmitOptions & { readonly timeLimit: number; readonly json?: boolean },
  io: CommandIo,
): Promise<number> {
  const { items, missing } = await workItems(sources, options);
  const { queue } = await openFleet(options);
  try {
    const added = await queue.submit(items, options.timeLimit);
    const known = items.length - added;
    await writeReport(
      'fleet-submit',
      {
        json: () => ({ added, known, missing }),
        text: () => [
          `${number(added)} added to the queue, ${number(known)} known already`,
          ...missing.map(missingLine),
        ],
      },
      options,
      io,
    );
    return missing.length === 0 ? ExitCode.SUCCESS : ExitCode.FAILURE;
  } finally {
    await queue.close();
  }
}

import { ExitCode } from '../../failure.ts';
import { type FleetOptions, openFleet } from '../../fleet/open-fleet.ts';
import { type SubmitOptions, workItems } from '../../fleet/work-items.ts';
import type { CommandIo } from '../../io.ts';
import { number } from '../../quantity.ts';
import { writeReport } from '../../report/write-report.ts';

/** Adds guests to the queue. */
export async function fleetSubmit(
  sources: readonly string[],
  options: FleetOptions & SubmitOptions & { readonly timeLimit: number; readonly json?: boolean },
  io: CommandIo,
): Promise<number> {
  const items = await workItems(sources, options);
  const { queue } = await openFleet(options);
  try {
    const added = await queue.submit(items, options.timeLimit);
    const known = items.length - added;
    await writeReport(
      'fleet-submit',
      {
        json: () => ({ added, known }),
        text: () => [`${number(added)} added to the queue, ${number(known)} known already`],
      },
      options,
      io,
    );
  } finally {
    await queue.close();
  }
  return ExitCode.SUCCESS;
}

import { ExitCode } from '../../failure.ts';
import { type FleetOptions, openFleet } from '../../fleet/open-fleet.ts';
import { statusText } from '../../fleet/status-text.ts';
import type { CommandIo } from '../../io.ts';
import { writeReport } from '../../report/write-report.ts';

/** Tells what waits, what is being done, and what came of the rest. */
export async function fleetStatus(
  options: FleetOptions & { readonly json?: boolean },
  io: CommandIo,
): Promise<number> {
  const { queue } = await openFleet(options);
  try {
    const status = await queue.status();
    await writeReport('fleet-status', { json: () => status, text: () => statusText(status) }, options, io);
  } finally {
    await queue.close();
  }
  return ExitCode.SUCCESS;
}

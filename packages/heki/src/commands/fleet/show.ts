import { ExitCode, InputError } from '../../failure.ts';
import { type FleetOptions, openFleet } from '../../fleet/open-fleet.ts';
import type { CommandIo } from '../../io.ts';

/** Prints the report of a result as it was made. */
export async function fleetShow(id: string, options: FleetOptions, io: CommandIo): Promise<number> {
  const { queue } = await openFleet(options);
  try {
    const report = await queue.report(id);
    if (report === undefined) throw new InputError(`${id}: no result has this id`);
    await io.stdout.write(report);
  } finally {
    await queue.close();
  }
  return ExitCode.SUCCESS;
}

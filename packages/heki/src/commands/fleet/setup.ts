import { ExitCode, UsageError } from '../../failure.ts';
import { type FleetOptions, openFleet } from '../../fleet/open-fleet.ts';
import type { CommandIo } from '../../io.ts';
import { writeReport } from '../../report/write-report.ts';

/** Roles by what they may do. */
interface Roles {
  readonly submitter?: readonly string[];
  readonly worker?: readonly string[];
  readonly reader?: readonly string[];
  readonly keeper?: readonly string[];
}

/** Makes the tables that this version of heki needs, on a server; an embedded database has them anyway. */
export async function fleetSetup(
  options: FleetOptions & Roles & { readonly json?: boolean },
  io: CommandIo,
): Promise<number> {
  if (options.database === undefined) {
    throw new UsageError('fleet setup: expected --database URL (an embedded database needs none)');
  }
  const grants = (['submitter', 'worker', 'reader', 'keeper'] as const).flatMap((right) =>
    (options[right] ?? []).map((role) => [right, role] as const),
  );
  const { queue } = await openFleet(options, { setUp: true, grants });
  await queue.close();
  await writeReport(
    'fleet-changed',
    { json: () => ({ changed: 1 }), text: () => ['the tables are those of this version of heki'] },
    options,
    io,
  );
  return ExitCode.SUCCESS;
}

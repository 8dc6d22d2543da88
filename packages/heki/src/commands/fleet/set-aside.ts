import type { SetAside } from '@heki/fleet';
import { ExitCode } from '../../failure.ts';
import { type FleetOptions, openFleet } from '../../fleet/open-fleet.ts';
import type { CommandIo } from '../../io.ts';
import { writeReport } from '../../report/write-report.ts';

/** Lists the jobs that failed three times. The exit code: 1 when there are any. */
export async function fleetSetAside(
  options: FleetOptions & { readonly json?: boolean },
  io: CommandIo,
): Promise<number> {
  const { queue } = await openFleet(options);
  try {
    const jobs = await queue.setAside();
    await writeReport(
      'fleet-set-aside',
      { json: () => ({ setAside: jobs.map(setAsideJson) }), text: () => jobs.map(setAsideLine) },
      options,
      io,
    );
    return jobs.length === 0 ? ExitCode.SUCCESS : ExitCode.FAILURE;
  } finally {
    await queue.close();
  }
}

function setAsideLine({ id, uri, reason, attempts }: SetAside): string {
  return `${id}  ${uri}  ${reason} (${attempts} times)`;
}

function setAsideJson({ id, uri, reason, attempts, at }: SetAside): object {
  return { id, source: uri, reason, attempts, at: at.toISOString() };
}

import type { Queue } from '@heki/fleet';
import { ExitCode } from '../../failure.ts';
import { type FleetOptions, openFleet } from '../../fleet/open-fleet.ts';
import type { CommandIo } from '../../io.ts';
import { number } from '../../quantity.ts';
import { writeReport } from '../../report/write-report.ts';

type Options = FleetOptions & { readonly json?: boolean };
type Ids = readonly string[] | undefined;

/** Gives jobs that were set aside, or cancelled, back to the workers. */
export function fleetRetry(ids: Ids, options: Options, io: CommandIo): Promise<number> {
  return change(options, io, 'to be tried again', (queue) => queue.retry(ids));
}

/** Takes back what waits. */
export function fleetCancel(ids: Ids, options: Options, io: CommandIo): Promise<number> {
  return change(options, io, 'cancelled', (queue) => queue.cancel(ids));
}

/** Forgets old results, and what was set aside or cancelled. */
export function fleetPurge(
  options: Options & { readonly olderThan: number },
  io: CommandIo,
): Promise<number> {
  return change(options, io, 'forgotten', (queue) => queue.purge(options.olderThan));
}

async function change(
  options: Options,
  io: CommandIo,
  what: string,
  act: (queue: Queue) => Promise<number>,
): Promise<number> {
  const { queue } = await openFleet(options);
  try {
    const changed = await act(queue);
    await writeReport(
      'fleet-changed',
      { json: () => ({ changed }), text: () => [`${number(changed)} ${what}`] },
      options,
      io,
    );
  } finally {
    await queue.close();
  }
  return ExitCode.SUCCESS;
}

import { setTimeout as delay } from 'node:timers/promises';
import { ExitCode } from '../../failure.ts';
import { type FleetOptions, openFleet } from '../../fleet/open-fleet.ts';
import { statusText } from '../../fleet/status-text.ts';
import type { CommandIo } from '../../io.ts';
import { reportHeader } from '../../report/report-header.ts';
import { writeReport } from '../../report/write-report.ts';

const EVERY = 2000;

/** Tells what waits, what is being done, and what came of the rest. */
export async function fleetStatus(
  options: FleetOptions & { readonly watch?: boolean; readonly json?: boolean },
  io: CommandIo,
): Promise<number> {
  const { queue } = await openFleet(options);
  try {
    const interrupted = options.watch === true ? io.interrupt?.() : undefined;
    for (;;) {
      const status = await queue.status();
      if (options.watch === true && options.json === true) {
        await io.stdout.write(`${JSON.stringify({ ...reportHeader('fleet-status'), ...status })}\n`);
      } else {
        await writeReport(
          'fleet-status',
          { json: () => status, text: () => statusText(status) },
          options,
          io,
        );
      }
      const isOver = status.waiting + status.active === 0;
      if (options.watch !== true || isOver || interrupted?.aborted === true) return ExitCode.SUCCESS;
      await delay(EVERY, undefined, interrupted === undefined ? {} : { signal: interrupted }).catch(() => {});
    }
  } finally {
    await queue.close();
  }
}

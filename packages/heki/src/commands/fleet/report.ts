import { ExitCode } from '../../failure.ts';
import { fleetHtml } from '../../fleet/fleet-html.ts';
import { fleetPicture } from '../../fleet/fleet-picture.ts';
import { type FleetOptions, openFleet } from '../../fleet/open-fleet.ts';
import type { CommandIo } from '../../io.ts';
import { writeFiles } from '../../output-file.ts';
import { writeReport } from '../../report/write-report.ts';

/** Writes the fleet as a page that opens from disk. */
export async function fleetReport(
  options: FleetOptions & { readonly html: string; readonly since?: Date; readonly json?: boolean },
  io: CommandIo,
): Promise<number> {
  const { queue } = await openFleet(options);
  try {
    const picture = await fleetPicture(queue.results({ since: options.since }));
    const lines = fleetHtml(picture, await queue.setAside());
    await writeFiles([{ path: options.html, chunks: [Buffer.from(`${[...lines].join('\n')}\n`)] }], true);
    await writeReport(
      'fleet-changed',
      { json: () => ({ changed: 1 }), text: () => [`${options.html} written`] },
      options,
      io,
    );
  } finally {
    await queue.close();
  }
  return ExitCode.SUCCESS;
}

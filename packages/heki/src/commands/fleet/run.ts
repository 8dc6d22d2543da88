import { type StoredResult, workItemId } from '@heki/fleet';
import { ExitCode } from '../../failure.ts';
import { type FleetOptions, openFleet } from '../../fleet/open-fleet.ts';
import { missingLine, resultJson, resultLine } from '../../fleet/result-text.ts';
import { concurrencyOf, type WorkOptionsHere, workHere } from '../../fleet/work-here.ts';
import { type SubmitOptions, workItems } from '../../fleet/work-items.ts';
import type { CommandIo } from '../../io.ts';
import { createProgress } from '../../progress.ts';
import { count, number } from '../../quantity.ts';
import { writeReport } from '../../report/write-report.ts';

/** Results that are listed; `heki fleet results` has all of them. */
const MOST_LISTED = 50;

/** Audits guests, those that were not audited before, and tells of all. The exit code: 1 when one fails, cannot be read, is set aside, or is not there. */
export async function fleetRun(
  sources: readonly string[],
  options: FleetOptions &
    SubmitOptions &
    WorkOptionsHere & { readonly timeLimit: number; readonly json?: boolean },
  io: CommandIo,
): Promise<number> {
  const { items, missing } = await workItems(sources, options);
  const { queue } = await openFleet(options, {
    connections: concurrencyOf(options) + 1,
    supervise: true,
  });
  try {
    const added = await queue.submit(items, options.timeLimit);
    const progress = createProgress(io, { what: 'auditing', total: added });
    let done = 0;
    await workHere(queue, options, true, io, (event) => {
      if (event.event !== 'waiting') progress.update(++done, event.job.item.source.uri);
    });
    progress.stop();

    const ids = items.map(workItemId);
    const results: StoredResult[] = [];
    for await (const result of queue.results({ ids })) results.push(result);
    // Whoever asks twice gets the same answer, whichever worker was quicker.
    const place = new Map(ids.map((id, index) => [id, index]));
    results.sort((a, b) => (place.get(a.id) ?? 0) - (place.get(b.id) ?? 0));
    const wanted = new Set(ids);
    const setAside = (await queue.setAside()).filter(({ id }) => wanted.has(id));
    const bad = results.filter(({ outcome }) => outcome !== 'pass');
    const known = items.length - added;
    const left = items.length - results.length - setAside.length;
    await writeReport(
      'fleet-run',
      {
        json: () => ({
          items: items.length,
          known,
          left,
          missing,
          results: results.map(resultJson),
          setAside: setAside.map(({ id, uri, reason, attempts }) => ({
            ...{ id, source: uri, reason, attempts },
          })),
        }),
        text: () => [
          `${count(results.length, 'result')} (${number(known)} known before): ${number(results.length - bad.length)} pass, ${number(bad.length)} do not; ${number(setAside.length)} set aside${left > 0 ? `, ${number(left)} not done` : ''}`,
          ...bad.slice(0, MOST_LISTED).map(resultLine),
          ...(bad.length > MOST_LISTED
            ? [`  and ${number(bad.length - MOST_LISTED)} more: heki fleet results`]
            : []),
          ...setAside.slice(0, MOST_LISTED).map(({ uri, reason }) => `  set aside   ${uri}: ${reason}`),
          ...missing.map(missingLine),
        ],
      },
      options,
      io,
    );
    return bad.length + setAside.length + left + missing.length > 0 ? ExitCode.FAILURE : ExitCode.SUCCESS;
  } finally {
    await queue.close();
  }
}

import type { ResultFilter, StoredResult } from '@heki/fleet';
import { ExitCode } from '../../failure.ts';
import { type FleetOptions, openFleet } from '../../fleet/open-fleet.ts';
import { resultJson, resultLine } from '../../fleet/result-text.ts';
import { type CommandIo, createLineWriter } from '../../io.ts';
import { reportHeader, VERSION } from '../../report/report-header.ts';

/** Prints results as they come from the database: there may be a million. */
export async function fleetResults(
  options: FleetOptions &
    ResultFilter & { readonly csv?: boolean; readonly sarif?: boolean; readonly json?: boolean },
  io: CommandIo,
): Promise<number> {
  const { queue } = await openFleet(options);
  try {
    const results = queue.results(options);
    if (options.csv === true) await writeCsv(results, io);
    else if (options.sarif === true) await writeSarif(results, io);
    else if (options.json === true) await writeJson(results, io);
    else await writeLines(results, io);
  } finally {
    await queue.close();
  }
  return ExitCode.SUCCESS;
}

async function writeCsv(results: AsyncIterable<StoredResult>, io: CommandIo): Promise<void> {
  const { csvHeader, csvRow } = await import('../../fleet/result-csv.ts');
  await io.stdout.write(csvHeader());
  for await (const result of results) await io.stdout.write(csvRow(result));
}

async function writeSarif(results: AsyncIterable<StoredResult>, io: CommandIo): Promise<void> {
  const { fleetSarif } = await import('../../fleet/fleet-sarif.ts');
  const { printableJson } = await import('../../printable.ts');
  for await (const piece of fleetSarif(results, VERSION)) await io.stdout.write(printableJson(piece));
}

/** One object, of which no more than a result is in memory. */
async function writeJson(results: AsyncIterable<StoredResult>, io: CommandIo): Promise<void> {
  const head = JSON.stringify(reportHeader('fleet-results'), undefined, 2).slice(0, -2);
  let before = `${head},\n  "results": [`;
  for await (const result of results) {
    const text = JSON.stringify(resultJson(result), undefined, 2).replaceAll('\n', '\n    ');
    await io.stdout.write(`${before}\n    ${text}`);
    before = ',';
  }
  await io.stdout.write(before === ',' ? '\n  ]\n}\n' : `${before}]\n}\n`);
}

async function writeLines(results: AsyncIterable<StoredResult>, io: CommandIo): Promise<void> {
  const writer = createLineWriter(io.stdout);
  for await (const result of results) {
    const written = writer.line(resultLine(result));
    if (written !== undefined) await written;
  }
  await writer.flush();
}

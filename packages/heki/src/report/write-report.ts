import { type CommandIo, createLineWriter, type Output } from '../io.ts';
import { reportHeader, type SchemaName } from './report-header.ts';
import { type Screen, screenOf } from './screen.ts';

/** What a command has to tell, in every format that there is. */
export interface Report {
  /** The object that programs read, without its header. */
  readonly json: () => object;
  /** Lines for people. */
  readonly text: (screen: Screen) => Iterable<string>;
}

/**
 * Writes `report` as a text, or as one JSON object that begins with the versions of the command and of the shape `schema`.
 *
 * @param output where to; by default standard output
 */
export async function writeReport(
  schema: SchemaName,
  report: Report,
  { json = false }: { readonly json?: boolean | undefined },
  io: CommandIo,
  output: Output = io.stdout,
): Promise<void> {
  if (json) {
    const value = { ...reportHeader(schema), ...report.json() };
    await output.write(`${JSON.stringify(value, undefined, 2)}\n`);
    return;
  }
  const writer = createLineWriter(output);
  for (const line of report.text(screenOf(output, io.env))) {
    const written = writer.line(line);
    if (written !== undefined) await written;
  }
  await writer.flush();
}

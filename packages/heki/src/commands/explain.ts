import { FINDING_KINDS } from '@heki/audit';
import { ExitCode, UsageError } from '../failure.ts';
import type { CommandIo } from '../io.ts';
import type { Screen } from '../report/screen.ts';
import { writeReport } from '../report/write-report.ts';

/** Prints what a kind of finding means. @throws {UsageError} for an unknown id */
export async function explain(
  id: string | undefined,
  { json = false }: { json?: boolean },
  io: CommandIo,
): Promise<number> {
  const wanted = id === undefined ? undefined : id.startsWith('heki/') ? id : `heki/${id}`;
  const kinds = FINDING_KINDS.filter((kind) => wanted === undefined || kind.id === wanted);
  if (kinds.length === 0) {
    throw new UsageError(`${id}: expected one of ${FINDING_KINDS.map((kind) => kind.id).join(', ')}`);
  }
  const lines = ({ colours: { bold, dim } }: Screen): string[] =>
    kinds.flatMap((kind) =>
      wanted === undefined
        ? [`${kind.id.padEnd(34)} ${dim(kind.worst.padEnd(9))} ${kind.title}`]
        : [
            `${bold(kind.title)} ${dim(`${kind.id}, at worst ${kind.worst}`)}`,
            '',
            kind.explanation,
            '',
            `${bold('Attack:')} ${kind.attack}`,
            `${bold('Legitimate:')} ${kind.legitimate}`,
            `${bold('What to do:')} ${kind.advice}`,
          ],
    );
  await writeReport(
    'explain',
    { json: () => ({ kinds: kinds.map(({ find: _, ...kind }) => kind) }), text: lines },
    { json },
    io,
  );
  return ExitCode.SUCCESS;
}

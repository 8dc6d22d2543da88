import type { StoredResult } from '@heki/fleet';

/** A result in a line. */
export function resultLine({ outcome, worst, item, findings, text }: StoredResult): string {
  const failing = [...new Set(findings.filter(({ fails }) => fails).map(({ id }) => id))];
  const why = failing.length > 0 ? failing.join(', ') : text;
  return `  ${outcome.padEnd(10)}  ${(worst ?? '').padEnd(8)}  ${item.source.uri}  ${why}`.trimEnd();
}

/** A file of a pattern that could not be submitted. */
export function missingLine(file: string): string {
  return `  missing     ${file}: removed since, or its name is no UTF-8`;
}

/** A result as programs read it. Its report is in the database, by its id. */
export function resultJson(result: StoredResult): object {
  const { id, item, outcome, text, worst, kernel, findings, milliseconds, worker, finishedAt } = result;
  return {
    ...{ id, source: item.source.uri, fingerprint: item.source.fingerprint, outcome, text },
    worst: worst ?? null,
    kernel: kernel ?? null,
    findings,
    options: item.options,
    hekiVersion: item.hekiVersion,
    milliseconds,
    worker,
    finishedAt: finishedAt.toISOString(),
  };
}

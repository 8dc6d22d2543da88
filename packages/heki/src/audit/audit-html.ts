import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fillPage } from '@heki/inspector';
import { InputError } from '../failure.ts';
import { INPUT_KINDS } from '../input/input-kind.ts';
import { readText } from '../input/read-text.ts';
import { printable } from '../printable.ts';
import { VERSION } from '../report/report-header.ts';
import { auditPage } from './audit-page.ts';
import type { HekiReport } from './heki-report.ts';
import type { AuditReport } from './report.ts';

/**
 * The report as one page that opens from disk.
 *
 * @param hypervisors what each would do with the kernel, that of the report first; none with `--no-heki`
 * @throws {InputError} when the template that comes with heki cannot be read
 */
export async function auditHtml(report: AuditReport, hypervisors: readonly HekiReport[]): Promise<string> {
  // What files and guests chose must not change the order of letters, either.
  return fillPage(await readTemplate(), auditPage(report, hypervisors, `heki ${VERSION}`), printable);
}

async function readTemplate(): Promise<string> {
  const manifest = createRequire(import.meta.url).resolve('@heki/inspector/package.json');
  const file = join(dirname(manifest), 'dist', 'audit.html');
  try {
    return await readText(file, INPUT_KINDS.pageTemplate);
  } catch (error) {
    const isMissing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    if (!isMissing) throw error;
    throw new InputError('the page that comes with heki is not built: npm start builds it', { file }, error);
  }
}

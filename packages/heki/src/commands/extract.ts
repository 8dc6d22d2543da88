import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import { pipeline, Readable } from 'node:stream';
import { createGzip } from 'node:zlib';
import { AuditError, hypercallPageOf, readKernel } from '@heki/audit';
import type { Gfn } from '@heki/physical-memory';
import { extractTables, resolveKernelRoot, type Vmcore, VmcoreError } from '@heki/vmcore';
import { extractJson } from '../extract/extract-json.ts';
import { disclosed, type ExtractReport, leftOut } from '../extract/extract-report.ts';
import { type ExtractSidecar, extractSidecar } from '../extract/extract-sidecar.ts';
import { extractText } from '../extract/extract-text.ts';
import { redactSidecar } from '../extract/redact-sidecar.ts';
import { ExitCode, UsageError } from '../failure.ts';
import type { CommandIo } from '../io.ts';
import { openCore, withPath } from '../open-snapshot.ts';
import { existsError, filesOfDump, refuseInputs, writeFiles } from '../output-file.ts';
import { sidecarPath } from '../read-sidecar.ts';
import { writeReport } from '../report/write-report.ts';

/** Options of `heki extract`. */
export interface ExtractOptions {
  /** A path, or `-` for standard output. */
  readonly output: string;
  readonly user?: boolean;
  readonly redact?: boolean;
  readonly memoryMap?: string;
  readonly cBit?: number;
  readonly force?: boolean;
  readonly json?: boolean;
}

/** `heki extract SNAPSHOT -o FILE`: page tables and registers alone, and the report of what they tell. */
export async function extract(path: string, options: ExtractOptions, io: CommandIo): Promise<number> {
  const { output, force = false, user = false, redact = false } = options;
  if (user && redact) {
    throw new UsageError('--user --redact: user mappings cannot be redacted, so one of the two has to go');
  }
  const toStdout = output === '-';
  const sidecarAt = toStdout ? undefined : sidecarPath(output);
  if (toStdout && io.stdout.isTerminal) {
    throw new UsageError('-o -: a terminal cannot take the bytes of a core: redirect them, or name a file');
  }
  const places = toStdout ? [] : [output, sidecarAt ?? output];
  refuseInputs(
    places.map((place) => ['-o', place]),
    [...filesOfDump(path), options.memoryMap],
  );
  const taken = places.find((place) => existsSync(place));
  if (taken !== undefined && !force) throw existsError(taken);

  const core = withPath(path, () => openCore(path, options));
  try {
    const known = await extractSidecar(path, options.memoryMap, hypercallPageIn(core));
    const extracted = withPath(path, () => extractTables(core, { user, redact }));
    const { redaction } = extracted;
    const sidecar = known === undefined || redaction === undefined ? known : redactSidecar(known, redaction);
    const gzip = toStdout || /\.gz$/i.test(output);
    let bytes = 0;
    const chunks = counted(gzip ? packed(extracted.chunks()) : extracted.chunks(), (size) => {
      bytes += size;
    });
    if (toStdout) for await (const chunk of chunks) await io.stdout.write(chunk);
    else {
      const beside =
        sidecar === undefined || sidecarAt === undefined
          ? []
          : [{ path: sidecarAt, chunks: [sidecarBytes(sidecar)] }];
      await writeFiles([{ path: output, chunks }, ...beside], force);
    }

    const report: ExtractReport = {
      source: basename(path),
      core: toStdout ? undefined : output,
      sidecar: sidecar === undefined ? undefined : sidecarAt,
      extract: extracted,
      user,
      redacted: redact,
      bytes,
      discloses: disclosed(core, extracted, user, toStdout ? undefined : sidecar),
      leavesOut: leftOut(core, extracted, user),
    };
    const told = toStdout ? io.stderr : io.stdout;
    await writeReport(
      'extract',
      { json: () => extractJson(report), text: ({ colours }) => extractText(report, colours) },
      options,
      io,
      told,
    );
    return ExitCode.SUCCESS;
  } finally {
    core.close();
  }
}

/** The same bytes give the same file: there is no time and no name in it. */
function packed(chunks: Iterable<Uint8Array>): AsyncIterable<Uint8Array> {
  const gzip = createGzip({ level: 9 });
  // What fails in the source ends the iteration of what comes out.
  pipeline(Readable.from(chunks, { objectMode: false }), gzip, () => {});
  return gzip;
}

async function* counted(
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  onChunk: (size: number) => void,
): AsyncGenerator<Uint8Array, void> {
  for await (const chunk of chunks) {
    onChunk(chunk.length);
    yield chunk;
  }
}

/** The page by which a guest of Hyper-V calls it: an extract lacks the contents that tell it. */
function hypercallPageIn(core: Vmcore): Gfn | undefined {
  try {
    const tables = resolveKernelRoot(core);
    if (tables.memory.page(tables.text.frame) === undefined) return undefined;
    return hypercallPageOf(readKernel({ tables, cpus: [] }));
  } catch (error) {
    // What proves not to be a kernel has none.
    if (error instanceof VmcoreError || error instanceof AuditError) return undefined;
    throw error;
  }
}

function sidecarBytes(sidecar: ExtractSidecar): Uint8Array {
  return Buffer.from(`${JSON.stringify(sidecar, undefined, 1)}\n`);
}

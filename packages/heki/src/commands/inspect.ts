import { ExitCode, UsageError } from '../failure.ts';
import { readInspectorFiles } from '../input/inspector-files.ts';
import { openInspectedSource } from '../inspect/inspected-source.ts';
import { openBrowser } from '../inspect/open-browser.ts';
import { serveInspector } from '../inspect/serve-inspector.ts';
import { storyPlace } from '../inspect/story-place.ts';
import { writeSite } from '../inspect/write-site.ts';
import type { CommandIo } from '../io.ts';
import { writeReport } from '../report/write-report.ts';

/** Options of `heki inspect`. */
export interface InspectOptions {
  readonly open?: boolean;
  readonly static?: string;
  /** A file whose story is told. */
  readonly story?: string;
  readonly json?: boolean;
}

/** Where the page tells the story that its server has: it may be too long for an address that a browser is started with. */
const STORY = 'story';

/** `heki inspect [SOURCE]`: serves the inspector until its page is closed or Ctrl-C is pressed; or writes it as a web site. */
export async function inspect(
  path: string | undefined,
  options: InspectOptions,
  io: CommandIo,
): Promise<number> {
  if (options.static !== undefined) return writeStatic(options.static, path, options, io);
  const files = await readInspectorFiles();
  const story = options.story === undefined ? undefined : await storyPlace(options.story);
  const source = path === undefined ? undefined : await openInspectedSource(path);
  const interrupted = io.interrupt?.();
  const server = await serveInspector(files, source, story);
  const url = story === undefined ? server.url : `${server.url}#${STORY}`;
  try {
    await writeReport(
      'inspect',
      {
        json: () => ({ url, port: server.port, pid: process.pid, source: source?.served.name ?? null }),
        text: () => [url, 'On this machine alone. Closing the page, or Ctrl-C, ends it.'],
      },
      options,
      io,
    );
    if (options.open !== false) openBrowser(url);
    await Promise.race([
      server.closed,
      new Promise<void>((resolve) => {
        if (interrupted?.aborted === true) resolve();
        interrupted?.addEventListener('abort', () => resolve(), { once: true });
      }),
    ]);
  } finally {
    server.close();
    for (const part of source?.parts ?? []) part.close();
  }
  return ExitCode.SUCCESS;
}

async function writeStatic(
  folder: string,
  path: string | undefined,
  { story, json }: InspectOptions,
  io: CommandIo,
): Promise<number> {
  const other = story !== undefined ? '--story' : json === true ? '--json' : undefined;
  if (other !== undefined)
    throw new UsageError(
      `--static ${other}: a site is written, and nothing served: one of the two has to go`,
    );
  if (path !== undefined) {
    throw new UsageError('--static: expected no SOURCE: a site that has a dump gives it to whoever visits');
  }
  const files = await readInspectorFiles();
  await writeSite(folder, files);
  await io.stdout.write(
    `${files.size} files in ${folder}: a web site as it stands, with the kernel that comes with heki\n`,
  );
  return ExitCode.SUCCESS;
}

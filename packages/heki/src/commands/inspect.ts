import { ExitCode, UsageError } from '../failure.ts';
import { readInspectorFiles } from '../input/inspector-files.ts';
import { openInspectedSource } from '../inspect/inspected-source.ts';
import { openBrowser } from '../inspect/open-browser.ts';
import { serveInspector } from '../inspect/serve-inspector.ts';
import { writeSite } from '../inspect/write-site.ts';
import type { CommandIo } from '../io.ts';

/** Options of `heki inspect`. */
export interface InspectOptions {
  readonly open?: boolean;
  readonly static?: string;
}

/** `heki inspect [SOURCE]`: serves the inspector until its page is closed or Ctrl-C is pressed; or writes it as a web site. */
export async function inspect(
  path: string | undefined,
  options: InspectOptions,
  io: CommandIo,
): Promise<number> {
  if (options.static !== undefined) return writeStatic(options.static, path, io);
  const files = await readInspectorFiles();
  const source = path === undefined ? undefined : await openInspectedSource(path);
  const interrupted = io.interrupt?.();
  const server = await serveInspector(files, source);
  try {
    await io.stdout.write(`${server.url}\nOn this machine alone. Closing the page, or Ctrl-C, ends it.\n`);
    if (options.open !== false) openBrowser(server.url);
    await Promise.race([
      server.closed,
      new Promise<void>((resolve) => interrupted?.addEventListener('abort', () => resolve(), { once: true })),
    ]);
  } finally {
    server.close();
    for (const part of source?.parts ?? []) part.close();
  }
  return ExitCode.SUCCESS;
}

async function writeStatic(folder: string, path: string | undefined, io: CommandIo): Promise<number> {
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

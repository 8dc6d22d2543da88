import { type PreviewServer, preview } from 'vite';

/** Serves the built pages in the folder `name` of `parent` as any web server does, on loopback. */
export async function serveFolder(
  parent: string,
  name: string,
): Promise<{ readonly server: PreviewServer; readonly home: string }> {
  const server = await preview({
    root: parent,
    configFile: false,
    logLevel: 'silent',
    appType: 'mpa',
    build: { outDir: name },
    preview: { port: 0, host: '127.0.0.1' },
  });
  return { server, home: server.resolvedUrls?.local[0] ?? '' };
}

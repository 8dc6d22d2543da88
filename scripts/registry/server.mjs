// A registry for npm on loopback: keeps in memory what is published to it, and sends who asks for anything else to UPSTREAM. Prints its address,
// and lives as long as its standard input is open. `node scripts/registry/server.mjs UPSTREAM`
import { createServer } from 'node:http';
import { json } from 'node:stream/consumers';

const upstream = process.argv[2].replace(/\/$/, '');
/** What npm calls a packument, by the name of the package. */
const packages = new Map();
/** By the path that npm gave each when it published it. */
const tarballs = new Map();

/** Takes what `npm publish` sends: the whole of a packument, with one version and its tarball. */
function publish({ name, _attachments, ...packument }) {
  const before = packages.get(name);
  const [version] = Object.keys(packument.versions);
  if (before?.versions[version] !== undefined) return 409;
  packages.set(name, {
    ...packument,
    name,
    versions: { ...before?.versions, ...packument.versions },
    'dist-tags': { ...before?.['dist-tags'], ...packument['dist-tags'] },
  });
  const { pathname } = new URL(packument.versions[version].dist.tarball);
  const [{ data }] = Object.values(_attachments);
  tarballs.set(decodeURIComponent(pathname), Buffer.from(data, 'base64'));
  return 201;
}

const server = createServer(async (request, response) => {
  const path = decodeURIComponent(new URL(request.url, 'http://localhost').pathname);
  const packument = packages.get(path.slice(1));
  if (request.method === 'PUT') response.writeHead(publish(await json(request))).end('{}');
  else if (packument !== undefined) response.writeHead(200).end(JSON.stringify(packument));
  else if (tarballs.has(path)) response.writeHead(200).end(tarballs.get(path));
  else response.writeHead(307, { location: `${upstream}${request.url}` }).end();
});
server.listen(0, '127.0.0.1', () => process.stdout.write(`http://127.0.0.1:${server.address().port}/\n`));
process.stdin.resume().on('end', () => process.exit());

// What `pnpm-lock.yaml` brings in, checked without a network: every package comes from the registry with a SHA-512 of its tarball, is
// under a licence that this project takes, and runs nothing when it is installed.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { root } from '../internal/launcher/src/root.mjs';

/** SPDX ids of what whoever installs a published package gets with it. */
const PERMISSIVE = new Set([
  '0BSD',
  'Apache-2.0',
  'BlueOak-1.0.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'ISC',
  'MIT',
]);

/** Those of tools, data of tools included: they stay on the machines of who works on this. */
const OF_TOOLS = new Set([...PERMISSIVE, 'CC-BY-4.0', 'CC0-1.0', 'MPL-2.0', 'Python-2.0']);

/** Licences that manifests do not name by an SPDX id, as their texts have them: by version, since another one is to be read anew. */
const READ_BY_HAND = { 'spawndamnit@3.0.1': 'MIT' };

/** Development dependencies that are bundled into what is published. */
const BUNDLED = {
  'packages/inspector': [
    '@codemirror/autocomplete',
    '@codemirror/commands',
    '@codemirror/lang-json',
    '@codemirror/language',
    '@codemirror/state',
    '@codemirror/view',
    'comlink',
    'preact',
  ],
  'packages/heki': ['comlink'],
};

const problems = [];
const lock = parse(readFileSync(join(root, 'pnpm-lock.yaml'), 'utf8'));
const { allowBuilds = {}, dangerouslyAllowAllBuilds } = parse(
  readFileSync(join(root, 'pnpm-workspace.yaml'), 'utf8'),
);

/** `NAME@VERSION` of a key of `snapshots`, which names the peers, too. */
const withoutPeers = (key) => key.replace(/\(.*$/, '');

/** The keys in `snapshots` of what a list of dependencies, name to version, leads to; other packages of the workspace have none. */
function keysOf(dependencies = {}) {
  return Object.entries(dependencies).flatMap(([name, version]) => {
    if (version.startsWith('link:')) return [];
    // An alias has the name in its version.
    const key = [`${name}@${version}`, version].find((candidate) => candidate in lock.snapshots);
    if (key === undefined)
      problems.push(`${name}@${version}: expected it among the snapshots of the lock file`);
    return key ?? [];
  });
}

/** The keys of the dependencies of one of the folders of the workspace, of the named kinds. */
const ofFolder = (importer, ...kinds) =>
  kinds.flatMap((kind) =>
    keysOf(
      Object.fromEntries(Object.entries(importer[kind] ?? {}).map(([name, { version }]) => [name, version])),
    ),
  );

/** The keys of what is bundled into a folder's files. */
function bundledInto(folder, importer) {
  return (BUNDLED[folder] ?? []).flatMap((name) => {
    const version = importer.devDependencies?.[name]?.version;
    if (version === undefined)
      problems.push(`${folder}: ${name} is to be bundled: expected it in devDependencies`);
    return version === undefined ? [] : keysOf({ [name]: version });
  });
}

/** `NAME@VERSION` of all that `keys` lead to, themselves among it; what is not `followed` ends a way. */
function reach(keys, followed = () => true) {
  const seen = new Set();
  const open = [...keys];
  for (let key = open.pop(); key !== undefined; key = open.pop()) {
    if (seen.has(key)) continue;
    seen.add(key);
    if (!followed(withoutPeers(key))) continue;
    const { dependencies, optionalDependencies } = lock.snapshots[key];
    open.push(...keysOf(dependencies), ...keysOf(optionalDependencies));
  }
  return new Set([...seen].map(withoutPeers));
}

/** What is installed, by `NAME@VERSION`: its manifest and its folder. */
function installed() {
  const store = join(root, 'node_modules', '.pnpm');
  const found = new Map();
  for (const entry of readdirSync(store)) {
    // A folder is called by the package, its version and its peers; those are links beside it.
    const name = /^(@[^+]+\+)?[^@]+/.exec(entry)?.[0].replace('+', '/') ?? '';
    const folder = join(store, entry, 'node_modules', name);
    if (!existsSync(join(folder, 'package.json'))) continue;
    const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
    found.set(`${manifest.name}@${manifest.version}`, { manifest, folder });
  }
  return found;
}

/** Whether an SPDX expression leaves a choice within `ids`. One that has both AND and OR does not: none of them needs it. */
function isWithin(ids, expression) {
  if (typeof expression !== 'string') return false;
  const [alternatives, parts] = [/ OR /, / AND /].map((word) => expression.replace(/[()]/g, '').split(word));
  if (alternatives.length > 1 && parts.length > 1) return false;
  return alternatives.length > 1 ? alternatives.some((id) => ids.has(id)) : parts.every((id) => ids.has(id));
}

/** Whether npm or pnpm would run something of a package while they install it. */
const runsSomething = ({ manifest, folder }) =>
  ['preinstall', 'install', 'postinstall'].some((script) => manifest.scripts?.[script] !== undefined) ||
  existsSync(join(folder, 'binding.gyp'));

const folders = Object.entries(lock.importers);
const present = installed();
const published = reach(
  folders
    .filter(([folder]) => folder.startsWith('packages/'))
    .flatMap(([folder, importer]) => [
      ...ofFolder(importer, 'dependencies', 'optionalDependencies'),
      ...bundledInto(folder, importer),
    ]),
);
// What only packages for other platforms lead to is as absent as they are.
const needed = reach(
  folders.flatMap(([, importer]) =>
    ofFolder(importer, 'dependencies', 'devDependencies', 'optionalDependencies'),
  ),
  (id) => present.has(id),
);
const refused = new Set();
let elsewhere = 0;
for (const [id, { resolution, os, cpu, libc }] of Object.entries(lock.packages)) {
  const digest = /^sha512-([A-Za-z0-9+/]{86}==)$/.exec(resolution.integrity ?? '');
  if (digest === null) problems.push(`${id}: integrity is ${resolution.integrity}: expected a SHA-512`);
  const others = Object.keys(resolution).filter((key) => key !== 'integrity');
  if (others.length > 0) problems.push(`${id}: comes by ${others.join(', ')}: expected the registry`);

  const found = present.get(id);
  if (found === undefined) {
    if ((os ?? cpu ?? libc) !== undefined || !needed.has(id)) elsewhere++;
    else problems.push(`${id} is not installed: expected what the lock file says`);
    continue;
  }
  const licence = READ_BY_HAND[id] ?? found.manifest.license;
  const [allowed, use] = published.has(id) ? [PERMISSIVE, 'what is published'] : [OF_TOOLS, 'tools'];
  if (!isWithin(allowed, licence))
    problems.push(
      `${id}: licence is ${JSON.stringify(licence)}: for ${use} expected of ${[...allowed].join(', ')}`,
    );
  if (!runsSomething(found)) continue;
  refused.add(found.manifest.name);
  if (published.has(id)) problems.push(`${id} has an install script, and comes with what is published`);
  if (allowBuilds[found.manifest.name] !== false)
    problems.push(
      `${id} has an install script: expected it among allowBuilds of pnpm-workspace.yaml, as false`,
    );
}

if (dangerouslyAllowAllBuilds !== undefined) problems.push('pnpm-workspace.yaml allows all install scripts');
for (const [name, allowed] of Object.entries(allowBuilds)) {
  if (allowed !== false)
    problems.push(`pnpm-workspace.yaml: allowBuilds of ${name} is ${allowed}: expected false`);
  if (!refused.has(name)) problems.push(`pnpm-workspace.yaml: ${name} of allowBuilds has no install script`);
}
for (const id of Object.keys(READ_BY_HAND))
  if (!(id in lock.packages))
    problems.push(`${id}: its licence was read by hand, and it is not in the lock file`);

for (const problem of problems) console.log(problem);
if (problems.length === 0)
  console.log(
    `${Object.keys(lock.packages).length} packages come from the registry with a SHA-512; ${elsewhere} are for other platforms, and ` +
      `their licences not read; of the others ${[...published].filter((id) => present.has(id)).length} come with what is published; ` +
      'licences are those expected, nothing runs at an installation',
  );
process.exitCode = problems.length === 0 ? 0 : 1;

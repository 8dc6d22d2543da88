// What each entry of a package adds to a page that takes all of it, or one function: bundled with all that it imports, minified and
// compressed. The most that it may be is the table under "How large" in docs/packages.md.
import { readdirSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { rolldown } from 'rolldown';
import { root } from '../internal/launcher/src/root.mjs';

/** The JavaScript entries of the published packages: by the name that is imported, the file. */
function entries() {
  const found = new Map();
  for (const folder of readdirSync(join(root, 'packages'))) {
    const manifest = JSON.parse(readFileSync(join(root, 'packages', folder, 'package.json'), 'utf8'));
    for (const [path, { default: file }] of Object.entries(manifest.exports ?? {}))
      if (file?.endsWith('.js'))
        found.set(`${manifest.name}${path.slice(1)}`, join(root, 'packages', folder, file));
  }
  return found;
}

/** The rows of the table: `NAMES of ENTRY` or `ENTRY`, and kilobytes (1000 bytes) minified and then compressed. */
function budgets() {
  const page = readFileSync(join(root, 'docs', 'packages.md'), 'utf8');
  const rows = page.matchAll(/^\| (?:`(\w+)` of )?`((?:@heki\/|heki)[^`]*)` \| ([\d.]+) \| ([\d.]+) \|$/gm);
  return [...rows].map(([, name, entry, minified, gzip]) => ({
    title: name === undefined ? entry : `${name} of ${entry}`,
    entry,
    names: name === undefined ? '*' : `{ ${name} }`,
    most: { minified: Number(minified), gzip: Number(gzip) },
  }));
}

/** The size of a bundle of `names` of a file, in bytes. What is Node's, and vitest, a peer, whoever imports it has. */
async function sizeOf(file, names) {
  const bundle = await rolldown({
    input: 'all',
    platform: 'neutral',
    external: [/^node:/, ...builtinModules, 'vitest'],
    resolve: { mainFields: ['module', 'main'], conditionNames: ['import', 'default'] },
    plugins: [
      {
        name: 'one-import',
        resolveId: (id) => (id === 'all' ? '\0all' : undefined),
        load: (id) => (id === '\0all' ? `export ${names} from ${JSON.stringify(file)};` : undefined),
      },
    ],
    onLog(_, { code, message }) {
      // A warning to rolldown; here, it would be left out of what is weighed.
      if (code === 'UNRESOLVED_IMPORT') throw new Error(message);
    },
  });
  const { output } = await bundle.generate({ format: 'es', minify: true, codeSplitting: false });
  await bundle.close();
  return { minified: Buffer.byteLength(output[0].code), gzip: gzipSync(output[0].code).length };
}

const files = entries();
const rows = budgets();
const problems = [...files.keys()]
  .filter((entry) => !rows.some((row) => row.title === entry))
  .map((entry) => `${entry} has no row under "How large" in docs/packages.md`);
for (const { title, entry, names, most } of rows) {
  const file = files.get(entry);
  if (file === undefined) {
    problems.push(`docs/packages.md: ${entry} is not an entry of a package`);
    continue;
  }
  const size = await sizeOf(file, names);
  for (const [what, bytes] of Object.entries(size))
    if (bytes > most[what] * 1000)
      problems.push(
        `${title}: ${bytes} bytes (${what}): expected at most ${most[what]} kB, as docs/packages.md has it`,
      );
  if (process.argv.includes('--print'))
    console.log(`${title}: ${size.minified} bytes minified, ${size.gzip} compressed`);
}
for (const problem of problems) console.log(problem);
if (problems.length === 0) console.log(`${rows.length} imports are no larger than docs/packages.md says`);
process.exitCode = problems.length === 0 ? 0 : 1;

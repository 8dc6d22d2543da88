// Holds docs/architecture.md, the manifests and the floors together: every package has a row, imports exactly what
// its row lists, and only from floors below its own. Cross-package file imports are turbo's check, deep imports the
// compiler's (a package exports only its public face).
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../internal/launcher/src/root.mjs';

const page = readFileSync(join(root, 'docs', 'architecture.md'), 'utf8');
const table = /<!-- packages -->([\s\S]*?)<!-- \/packages -->/.exec(page)?.[1] ?? '';
const rows = new Map();
for (const line of table.trim().split('\n').slice(2)) {
  const [floor, name, , , imports] = line
    .slice(1, -1)
    .split('|')
    .map((cell) => cell.trim());
  rows.set(name.replaceAll('`', ''), {
    floor: Number(floor),
    imports: imports === '-' ? [] : imports.split(', '),
  });
}

const problems = [];
const folders = readdirSync(join(root, 'packages')).sort();
for (const name of rows.keys()) if (!folders.includes(name)) problems.push(`${name} has a row but no folder`);
for (const name of folders) {
  const row = rows.get(name);
  if (row === undefined) {
    problems.push(`${name} has no row in docs/architecture.md`);
    continue;
  }
  const manifest = JSON.parse(readFileSync(join(root, 'packages', name, 'package.json'), 'utf8'));
  const ours = (dependencies = {}) =>
    Object.keys(dependencies)
      .filter((dependency) => dependency.startsWith('@heki/'))
      .map((dependency) => dependency.replace('@heki/', ''))
      .sort();
  const imports = ours({ ...manifest.dependencies, ...manifest.optionalDependencies });
  if (imports.join() !== [...row.imports].sort().join()) {
    problems.push(`${name} depends on [${imports.join(', ')}], its row says [${row.imports.join(', ')}]`);
  }
  // Tests may use any package, but only below: a development dependency on one above would be a way around the arrows.
  for (const dependency of [...imports, ...ours(manifest.devDependencies)]) {
    const floor = rows.get(dependency)?.floor ?? Number.POSITIVE_INFINITY;
    if (floor >= row.floor)
      problems.push(`${name} (floor ${row.floor}) imports ${dependency} (floor ${floor})`);
  }
  const { references = [] } = JSON.parse(readFileSync(join(root, 'packages', name, 'tsconfig.json'), 'utf8'));
  const referenced = references.map(({ path }) => path.replace('../', '')).sort();
  if (referenced.join() !== imports.join()) {
    problems.push(
      `${name}/tsconfig.json references [${referenced.join(', ')}], its manifest [${imports.join(', ')}]`,
    );
  }
}

for (const problem of problems) console.log(problem);
console.log(problems.length === 0 ? `${folders.length} packages agree with docs/architecture.md` : '');
process.exitCode = problems.length === 0 ? 0 : 1;

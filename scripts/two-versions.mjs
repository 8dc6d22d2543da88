// Two versions of the packages in one program, as patch releases that are mixed: what one copy makes must fit where the other's types ask
// for it. A class with a private field on a public face, or a unique symbol, would not.
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../internal/launcher/src/root.mjs';

const COPIES = ['one', 'two'];

/** Entry points that have types, as programs import them. */
function entryPoints() {
  return readdirSync(join(root, 'packages')).flatMap((folder) => {
    const { name, publishConfig } = JSON.parse(
      readFileSync(join(root, 'packages', folder, 'package.json'), 'utf8'),
    );
    return Object.entries(publishConfig?.exports ?? {})
      .filter(([, target]) => typeof target.types === 'string')
      .map(([entry]) => `${name}${entry.slice(1)}`);
  });
}

/**
 * @param {string} folder where there is room
 * @param {(to: string) => void} install puts the packages into the `node_modules` of a folder
 * @returns {string[]} what does not fit
 */
export function checkTwoVersions(folder, install) {
  const entries = entryPoints();
  for (const copy of COPIES) {
    install(join(folder, copy));
    const lines = entries.map((entry, index) => `export * as e${index} from '${entry}';`);
    writeFileSync(join(folder, copy, 'all.ts'), lines.join('\n'));
    writeFileSync(join(folder, copy, 'package.json'), '{"type":"module"}');
  }
  const fits = entries.flatMap((entry, index) => [
    `// ${entry}`,
    `export const a${index}: typeof one.e${index} = two.e${index};`,
    `export const b${index}: typeof two.e${index} = one.e${index};`,
  ]);
  const imports = COPIES.map((copy) => `import * as ${copy} from './${copy}/all.js';`);
  writeFileSync(join(folder, 'two.ts'), [...imports, ...fits].join('\n'));
  const config = {
    compilerOptions: {
      strict: true,
      exactOptionalPropertyTypes: true,
      target: 'ES2023',
      module: 'NodeNext',
      types: ['node'],
      typeRoots: [join(root, 'node_modules', '@types')],
      skipLibCheck: true,
      noEmit: true,
    },
    files: ['two.ts'],
  };
  writeFileSync(join(folder, 'tsconfig.two.json'), JSON.stringify(config));
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const { status, stdout } = spawnSync(process.execPath, [tsc, '-p', 'tsconfig.two.json'], {
    cwd: folder,
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
  });
  return status === 0 ? [] : [`two versions do not fit each other:\n${stdout.slice(0, 4000)}`];
}

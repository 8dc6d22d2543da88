// `npm run test:registry`: the next release as strangers get it. Makes it of what is committed, publishes it to a registry on loopback, installs
// it by name with three Nodes, runs the examples of the READMEs and what a user does, checks their types with three TypeScripts, and mixes
// two versions. Ends with a line `N passed, N failed`.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { root } from '../internal/launcher/src/root.mjs';
import { checkInstalled } from './check-outside.mjs';
import { documentedCommands } from './registry/documented-commands.mjs';
import {
  MIXED_DEPENDENCIES,
  MIXED_OUTPUT,
  packagesToMix,
  writeMixedProgram,
} from './registry/mixed-versions.mjs';
import { writeReadmeExamples } from './registry/readme-examples.mjs';
import { nodesAndTypescripts } from './registry/tools.mjs';

const tools = nodesAndTypescripts();
if (typeof tools === 'string') {
  process.stdout.write(`not run: 1: ${tools}\n0 passed, 0 failed\n`);
  process.exit();
}
const { nodes, typescripts } = tools;
const scratch = mkdtempSync(join(tmpdir(), 'heki-registry-'));
let [passed, failed] = [0, 0];
let started = Date.now();

/** Counts a check, which failed where there is something to say. */
function check(title, problems) {
  const seconds = ((Date.now() - started) / 1000).toFixed(1);
  started = Date.now();
  process.stdout.write(`${problems.length === 0 ? 'ok' : 'FAILED'}: ${title} (${seconds} s)\n`);
  for (const problem of problems) process.stdout.write(`  ${problem}\n`);
  if (problems.length === 0) passed++;
  else failed++;
}

/** Runs a program; what it says where it fails. */
function run(cwd, [program, ...args], bin) {
  const PATH = bin === undefined ? process.env.PATH : `${bin}${delimiter}${process.env.PATH}`;
  const { status, stdout, stderr } = spawnSync(program, args, {
    cwd,
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
    env: { ...process.env, PATH },
    shell: process.platform === 'win32',
  });
  const problems =
    status === 0
      ? []
      : [`${program} ${args.join(' ')}: exit code ${status}\n${(stdout + stderr).slice(-3000)}`];
  return { stdout, problems };
}

const upstream = run(root, ['npm', 'config', 'get', 'registry']).stdout.trim();
const registry = spawn(process.execPath, [join(root, 'scripts', 'registry', 'server.mjs'), upstream], {
  stdio: ['pipe', 'pipe', 'inherit'],
});
const [line] = await once(registry.stdout.setEncoding('utf8'), 'data');
const address = line.trim();
const npm = (cwd, args, bin) => {
  writeFileSync(join(cwd, '.npmrc'), `${address.slice('http:'.length)}:_authToken=anyone\n`);
  return run(
    cwd,
    [
      'npm',
      ...args,
      `--registry=${address}`,
      '--prefer-online',
      '--no-audit',
      '--no-fund',
      '--ignore-scripts',
    ],
    bin,
  ).problems;
};

/** An empty project that npm installs `names` into. */
function project(name, names, bin) {
  const folder = join(scratch, name);
  mkdirSync(folder);
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, type: 'module' }));
  return { folder, problems: npm(folder, ['install', '--engine-strict', '@types/node@20', ...names], bin) };
}

/** Checks the types of `files` with a compiler, declarations of packages included, and writes what they are in JavaScript. */
function compile(folder, files, tsc) {
  const compilerOptions = {
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    target: 'ES2023',
    module: 'NodeNext',
    types: ['node'],
    allowJs: true,
    outDir: 'out',
  };
  writeFileSync(join(folder, 'tsconfig.files.json'), JSON.stringify({ compilerOptions, files }));
  return run(folder, [process.execPath, tsc, '-p', 'tsconfig.files.json']).problems;
}

check('the next release', run(root, [process.execPath, join(root, 'scripts', 'release.mjs')]).problems);
const release = join(root, 'release');
const tarballs = readdirSync(release).filter((name) => name.endsWith('.tgz'));
check(
  `${tarballs.length} packages published`,
  tarballs.flatMap((tarball) => npm(scratch, ['publish', join(release, tarball)])),
);

const names = readdirSync(join(root, 'packages')).map(
  (folder) => JSON.parse(readFileSync(join(root, 'packages', folder, 'package.json'), 'utf8')).name,
);
let first;
for (const { version, bin } of nodes) {
  const { folder, problems } = project(`node-${version}`, names, bin);
  check(`Node ${version}: installed by name`, problems);
  const copies = names.filter((name) =>
    existsSync(join(folder, 'node_modules', name, 'node_modules', '@heki')),
  );
  check(`Node ${version}: one copy of each`, copies);
  check(`Node ${version}: what a user does`, checkInstalled(folder, join(bin, 'node')));
  const commands = documentedCommands();
  check(
    `Node ${version}: ${commands.length} commands of docs`,
    commands.flatMap((command) => run(folder, command, bin).problems),
  );
  const examples = writeReadmeExamples(folder);
  if (first === undefined) {
    for (const typescript of typescripts)
      check(
        `TypeScript ${typescript.version}: the types of ${examples.length} examples of READMEs`,
        compile(
          folder,
          examples.map(({ name }) => `${name}.ts`),
          typescript.tsc,
        ),
      );
  } else {
    check(
      `Node ${version}: examples compiled`,
      compile(
        folder,
        examples.map(({ name }) => `${name}.ts`),
        typescripts.at(-1).tsc,
      ),
    );
  }
  first ??= folder;
  const wrong = examples.flatMap(({ name, output }) => {
    const { stdout, problems: broken } = run(folder, ['node', join('out', `${name}.js`)], bin);
    if (broken.length === 0 && output !== undefined && stdout !== output)
      return [`${name} printed\n${stdout}expected\n${output}`];
    return broken;
  });
  check(`Node ${version}: ${examples.length} examples of READMEs`, wrong);
}

const toPublish = join(scratch, 'to-publish');
mkdirSync(toPublish);
const declared = [];
const mix = packagesToMix(toPublish, first, (file, to) => {
  const options = [
    '--allowJs',
    '--declaration',
    '--emitDeclarationOnly',
    '--module',
    'nodenext',
    '--target',
    'es2023',
    '--types',
    'node',
    '--outDir',
    to,
  ];
  declared.push(
    ...run(first, [process.execPath, typescripts.at(-1).tsc, '--ignoreConfig', file, ...options]).problems,
  );
});
check('a backend of somebody, and patches, published', [
  ...declared,
  ...mix.flatMap((folder) => npm(folder, ['publish'])),
]);
const mixed = project('mixed', MIXED_DEPENDENCIES);
check('two versions: installed by name', mixed.problems);
check('two versions: both are there', writeMixedProgram(mixed.folder));
for (const { version, tsc } of typescripts)
  check(`two versions: types, by TypeScript ${version}`, compile(mixed.folder, ['mixed.ts'], tsc));
for (const { version, bin } of nodes) {
  const { stdout, problems } = run(mixed.folder, ['node', join('out', 'mixed.js')], bin);
  const unexpected = stdout === MIXED_OUTPUT ? [] : [`printed\n${stdout}`];
  check(`two versions: an attack on the backend, on Node ${version}`, [...problems, ...unexpected]);
}

registry.stdin.end();
rmSync(scratch, { recursive: true, force: true });
process.stdout.write(`${passed} passed, ${failed} failed\n`);
process.exitCode = failed === 0 ? 0 : 1;

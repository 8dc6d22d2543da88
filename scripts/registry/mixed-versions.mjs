// Two versions of the same packages in one program, as npm lays them out: somebody's backend asks for exactly the first, the program that
// takes it has the patch. What one copy makes, memory and addresses and machines, the other has to take.
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../../internal/launcher/src/root.mjs';

/** Those whose types and values go to and fro between a machine and a backend. */
const PATCHED = [
  '@heki/hypervisor',
  '@heki/physical-memory',
  '@heki/second-level',
  '@heki/vcpu',
  '@heki/x86',
];
const BACKEND = 'somebodys-backend';

const PROGRAM = `import { createRequire } from 'node:module';
import { createMachine, findTargets, runAttacks } from '@heki/machine';
import { createMemoryMap, gfn } from '@heki/physical-memory';
import { pagingRegistersOf, resolveKernelRoot } from '@heki/vmcore';
import { openVmcore } from '@heki/vmcore/node';
import { AMD_ZEN4 } from '@heki/x86';
import createMine, { driver } from '${BACKEND}';

const core = openVmcore(createRequire(import.meta.url).resolve('@heki/vmcore/data/k61-256-nokaslr.elf.gz'));
const kernel = resolveKernelRoot(core);
const results = runAttacks({
  targets: findTargets(kernel),
  createMachine() {
    const machine = createMachine({
      hypervisor: createMine({ processor: AMD_ZEN4, gmet: true }),
      driver,
      kernel,
      memoryMap: createMemoryMap([{ start: gfn(0), end: gfn(0xffe0), type: 'ram' }]),
      registers: pagingRegistersOf(core),
    });
    machine.earlyInit();
    machine.lateInit();
    return machine;
  },
});
for (const { name, outcome } of results) console.log(name, outcome);
`;

/** What it prints: the backend enforces what it was told, in memory that another copy made. */
export const MIXED_OUTPUT = `store-text blocked
store-text-direct-map blocked
store-text-after-pte-edit blocked
execute-data blocked
clear-smep blocked
remap-text succeeded
store-data succeeded
ask-for-execution succeeded
`;

/** The version after the one in `manifest`. */
function patch({ version }) {
  const [major, minor, last] = version.split('.').map(Number);
  return `${major}.${minor}.${last + 1}`;
}

const read = (folder) => JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
const write = (folder, manifest) => writeFileSync(join(folder, 'package.json'), JSON.stringify(manifest));

/**
 * Makes the folders that are to be published: the patches, and the backend, whose types `declare` writes.
 *
 * @param {string} folder an empty one
 * @param {string} installed a folder with all packages in its node_modules
 * @param {(file: string, to: string) => void} declare writes the types of a file in `installed` to a folder
 * @returns {string[]}
 */
export function packagesToMix(folder, installed, declare) {
  const exact = {};
  const patches = PATCHED.map((name) => {
    const to = join(folder, name);
    cpSync(join(installed, 'node_modules', name), to, { recursive: true });
    const manifest = read(to);
    exact[name] = manifest.version;
    write(to, { ...manifest, version: patch(manifest) });
    return to;
  });
  const backend = join(folder, BACKEND);
  mkdirSync(backend);
  const source = join(root, 'examples', 'write-a-backend', 'src', 'mine.mjs');
  for (const to of [installed, backend]) cpSync(source, join(to, 'mine.mjs'));
  declare('mine.mjs', backend);
  const others = ['@heki/hypercall', '@heki/machine', '@heki/npt'];
  const { version } = read(join(installed, 'node_modules', '@heki/machine'));
  const dependencies = { ...exact, ...Object.fromEntries(others.map((name) => [name, `^${version}`])) };
  write(backend, { name: BACKEND, version: '1.0.0', type: 'module', exports: './mine.mjs', dependencies });
  return [...patches, backend];
}

/** What a program asks for that has both. */
export const MIXED_DEPENDENCIES = ['@heki/machine', '@heki/vmcore', ...PATCHED, BACKEND];

/**
 * Writes the program to where they are installed.
 *
 * @param {string} folder
 * @returns {string[]} packages of which npm did not install both versions
 */
export function writeMixedProgram(folder) {
  writeFileSync(join(folder, 'mixed.ts'), PROGRAM);
  const modules = join(folder, 'node_modules');
  const nested = join(modules, BACKEND, 'node_modules');
  return PATCHED.filter((name) => patch(read(join(nested, name))) !== read(join(modules, name)).version);
}

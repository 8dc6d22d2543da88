// The Nodes and the TypeScripts that heki is tried with, as npm has them, in a folder that is kept.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../../internal/launcher/src/root.mjs';

const folder = join(root, 'node_modules', '.cache', 'heki', 'nodes-and-typescripts');
const { engines } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

/** The oldest that is supported, and the newest of the two lines after it. */
const NODES = [`${engines.node.replace('>=', '')}.0`, '22', '24'];
const TYPESCRIPTS = ['5', '6', '7'];

/**
 * Installs them.
 *
 * @returns {{ nodes: { version: string, bin: string }[], typescripts: { version: string, tsc: string }[] } | string} the folder of each
 *   Node's program, and the script of each compiler; or why they cannot be had
 */
export function nodesAndTypescripts() {
  const system = `${process.platform === 'win32' ? 'win' : process.platform}-${process.arch}`;
  const dependencies = Object.fromEntries([
    ...NODES.map((version, index) => [`node-${index}`, `npm:node-${system}@${version}`]),
    ...TYPESCRIPTS.map((version, index) => [`typescript-${index}`, `npm:typescript@${version}`]),
  ]);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, dependencies }));
  const { status, stderr } = spawnSync(
    'npm',
    ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--no-package-lock'],
    { cwd: folder, encoding: 'utf8', shell: process.platform === 'win32' },
  );
  if (status !== 0) return `npm cannot install Nodes and TypeScripts: ${stderr.trim().slice(-500)}`;
  const versionOf = (name) =>
    JSON.parse(readFileSync(join(folder, 'node_modules', name, 'package.json'), 'utf8')).version;
  return {
    nodes: NODES.map((_, index) => ({
      version: versionOf(`node-${index}`),
      bin: join(folder, 'node_modules', `node-${index}`, 'bin'),
    })),
    typescripts: TYPESCRIPTS.map((_, index) => ({
      version: versionOf(`typescript-${index}`),
      tsc: join(folder, 'node_modules', `typescript-${index}`, 'bin', 'tsc'),
    })),
  };
}

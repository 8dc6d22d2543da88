// `npm run release`: the next release as tarballs with changelogs, in `release/`. Publishes nothing, and changes nothing of the checkout: all happens in a clone
// of what is committed. What is published is what the release workflow makes by this and then signs.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from '../internal/launcher/src/root.mjs';

const { packageManager } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const clone = mkdtempSync(join(tmpdir(), 'heki-release-'));
const to = join(root, 'release');

function run(cwd, program, ...args) {
  const { status, stdout, stderr } = spawnSync(program, args, {
    cwd,
    encoding: 'utf8',
    shell: process.platform === 'win32',
  });
  if (status === 0) return stdout;
  process.stderr.write(`${program} ${args.join(' ')} ended with ${status}\n${stdout}${stderr}`);
  rmSync(clone, { recursive: true, force: true });
  process.exit(1);
}

run(root, 'git', 'clone', '--quiet', '--local', root, clone);
run(clone, 'npx', '--yes', packageManager, 'install', '--frozen-lockfile', '--prefer-offline');
run(clone, 'npx', 'changeset', 'version');
run(clone, 'npx', '--yes', packageManager, 'run', 'build');
rmSync(to, { recursive: true, force: true });
mkdirSync(to);
run(
  clone,
  'npx',
  '--yes',
  packageManager,
  '-r',
  '--filter',
  './packages/*',
  'pack',
  '--pack-destination',
  to,
);
for (const name of readdirSync(join(clone, 'packages'))) {
  const { version } = JSON.parse(readFileSync(join(clone, 'packages', name, 'package.json'), 'utf8'));
  cpSync(join(clone, 'packages', name, 'CHANGELOG.md'), join(to, `${name}-CHANGELOG.md`));
  process.stdout.write(`${name} ${version}\n`);
}
rmSync(clone, { recursive: true, force: true });

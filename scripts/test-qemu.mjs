// `npm run test:qemu`: boots a Debian kernel under QEMU and holds what heki reads of it, in every format and live, to what QEMU
// says; with `--all` every guest (a part of `npm run test:full`). Where the programs cannot be had it says so, and that nothing was run:
// with `--all` that is a failure. Ends with a line `N passed, N failed`.
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { delimiter, join } from 'node:path';
import { root, tool } from '../internal/launcher/src/root.mjs';
import { PROGRAM_FOLDERS, whyNoGuests } from './debian-programs.mjs';

const all = process.argv.includes('--all');

const why = whyNoGuests(all);
if (why === undefined) {
  const build = spawnSync(process.execPath, [tool('typescript', 'bin', 'tsc'), '-b', 'internal/guests'], {
    cwd: root,
    stdio: 'inherit',
  });
  if (build.status !== 0) process.exit(1);
  const folder = join(tmpdir(), `heki-guests-${userInfo().uid}`);
  mkdirSync(folder, { recursive: true });
  const { status } = spawnSync(
    process.execPath,
    [join(root, 'internal/guests/dist/main.js'), 'check', folder, ...(all ? ['all'] : [])],
    { cwd: root, stdio: 'inherit', env: { ...process.env, PATH: PROGRAM_FOLDERS.join(delimiter) } },
  );
  process.exitCode = status ?? 1;
} else {
  process.stdout.write(`not run: ${all ? 'all' : 1}: ${why}\n0 passed, ${all ? 1 : 0} failed\n`);
  process.exitCode = all ? 1 : 0;
}

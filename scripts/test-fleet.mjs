// Workers and their faults on a real PostgreSQL server, which is started in a temporary folder: `npm run test:fleet`. As root, disks that are
// full and networks that drop packets, too.
import { spawnSync } from 'node:child_process';
import { userInfo } from 'node:os';
import { root, tool } from '../internal/launcher/src/root.mjs';
import { setUpOrTell } from '../internal/launcher/src/run-heki.mjs';
import { whyNoPostgres } from './debian-programs.mjs';

if (!(await setUpOrTell())) process.exit(1);
const why = whyNoPostgres();
if (why !== undefined) process.stdout.write(`not run: the queue on PostgreSQL: ${why}\n`);
if (userInfo().uid !== 0)
  process.stdout.write('not run: full disks and networks that drop packets: they take root\n');
const folders = ['packages/fleet/', 'packages/heki/src/commands/fleet/'];
const { status } = spawnSync(process.execPath, [tool('vitest', 'vitest.mjs'), 'run', ...folders], {
  cwd: root,
  stdio: 'inherit',
  env: { ...process.env, HEKI_FAULTS: 'long' },
});
process.exitCode = status ?? 1;

// Workers and their faults on a real PostgreSQL server, which is started in a temporary folder: `npm run test:fleet`.
import { spawnSync } from 'node:child_process';
import { root, tool } from '../internal/launcher/src/root.mjs';
import { setUpOrTell } from '../internal/launcher/src/run-heki.mjs';
import { whyNoPostgres } from './debian-programs.mjs';

if (!(await setUpOrTell())) process.exit(1);
const why = whyNoPostgres();
if (why !== undefined) process.stdout.write(`not run: the queue on PostgreSQL: ${why}\n`);
const { status } = spawnSync(process.execPath, [tool('vitest', 'vitest.mjs'), 'run', 'packages/fleet/'], {
  cwd: root,
  stdio: 'inherit',
});
process.exitCode = status ?? 1;

// `npm run test:pages`: opens the pages that heki writes in Debian's chromium, and uses them by pointer and keyboard. Where the
// browser cannot be had it says so, and that nothing was run. Ends with a line `N passed, N failed`.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root, tool } from '../internal/launcher/src/root.mjs';
import { whyNoBrowser } from './debian-programs.mjs';

const why = whyNoBrowser();
if (why === undefined) {
  const scratch = mkdtempSync(join(tmpdir(), 'heki-pages-report-'));
  const file = join(scratch, 'report.json');
  const vitest = [tool('vitest', 'vitest.mjs'), 'run', '--root', join(root, 'internal', 'pages')];
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${file}`];
  const { status } = spawnSync(process.execPath, [...vitest, ...reporters], { cwd: root, stdio: 'inherit' });
  let [passed, failed] = [0, 1];
  try {
    const report = JSON.parse(readFileSync(file, 'utf8'));
    passed = report.numPassedTests;
    failed = Math.max(report.numFailedTests, status === 0 && passed > 0 ? 0 : 1);
  } catch {
    // Without a report it failed.
  }
  rmSync(scratch, { recursive: true, force: true });
  process.stdout.write(`\n${passed} passed, ${failed} failed\n`);
  process.exitCode = failed === 0 ? 0 : 1;
} else {
  process.stdout.write(`not run: 1: ${why}\n0 passed, 0 failed\n`);
}

import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

test('a test run where nothing is installed says what to do, in one sentence', () => {
  const clone = mkdtempSync(join(tmpdir(), 'heki-bare-'));
  try {
    copyFileSync(join(ROOT, 'vitest.config.ts'), join(clone, 'vitest.config.ts'));
    const vitest = join(ROOT, 'node_modules', 'vitest', 'vitest.mjs');
    const { status, stdout, stderr } = spawnSync(process.execPath, [vitest, 'run', '--project', 'x86'], {
      cwd: clone,
      encoding: 'utf8',
    });
    expect({ status, stdout, stderr }).toEqual({
      status: 1,
      stdout: '',
      stderr: 'The dependencies are not installed: npm start installs all of them and builds.\n',
    });
  } finally {
    rmSync(clone, { recursive: true });
  }
});

import { expect, test } from 'vitest';
import { runCommand } from '../testing/run-command.ts';

test.each(['kvm-vmm', 'kvm-vtl'])('every test passes on %s, and none is skipped', async (hypervisor) => {
  const { exitCode, stdout } = await runCommand(['kunit', '--memory', '64MiB', '--hypervisor', hypervisor]);
  expect(exitCode).toBe(0);
  expect(stdout).toContain('# Totals: pass:28 fail:0 skip:0 total:28');
});

import { expect, test } from 'vitest';
import { runCommand } from '../testing/run-command.ts';

test.each([
  ['--machine', '__proto__'],
  ['--machine', 'constructor'],
  ['--machine', ''],
  ['--machine', 'lvbs', '--defect', 'toString'],
  ['--machine', 'authority', '--defect', 'toString'],
  ['--machine', 'guest', '--defect', 'B-H1'],
  ['--machine', 'kvm', '--defect', 'toString'],
  ['--machine', 'kvm-interleaved', '--defect', 'toString'],
])('a machine or a defect that there is none of is never searched: %s %s %s %s', async (...options) => {
  const { exitCode, stderr } = await runCommand(['explore', '--depth', '0', ...options]);
  expect({ exitCode, stderr }).toMatchObject({
    exitCode: 2,
    stderr: expect.stringContaining('expected one of'),
  });
});

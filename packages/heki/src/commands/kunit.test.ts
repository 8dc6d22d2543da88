import { expect, test } from 'vitest';
import { runCommand } from '../testing/run-command.ts';

const kunit = (...args: string[]) => runCommand(['kunit', '--memory', '64MiB', ...args]);

test('heki kunit prints KTAP and succeeds when every test passes', async () => {
  const { exitCode, stdout, stderr } = await kunit('--suite', 'heki', 'heki_v3');
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
  const lines = stdout.split('\n');
  expect(lines.slice(0, 5)).toEqual([
    'KTAP version 1',
    '1..2',
    '    KTAP version 1',
    '    # Subtest: heki',
    '    1..4',
  ]);
  expect(lines).toContain('    ok 4 heki_test_exec');
  expect(lines.slice(-2)).toEqual(['ok 2 heki_v3', '']);
});

test.each([
  [['--hypervisor', 'none', '--test', '4'], 'Result of execution: 3 + 1 = 4'],
  [['--cmdline', 'heki=0 heki_test=2'], 'the first byte of the buffer still to be 0, but it is 0x11'],
  [['--profile', 'rfc-v2', '--test', '1'], 'try faulted: the move of 0x650eb0 to CR4 ended with #GP(0)'],
  [['--profile', 'rfc-v2', '--test', '3'], 'is retried for ever: #PF 0x3'],
  [['--profile', 'rfc-v2', '--cmdline', 'heki_test=4'], 'is retried for ever: #PF 0x11'],
  [['--no-mbec', '--test', '4'], 'Result of execution: 3 + 1 = 4'],
])('heki kunit %j fails, and says why', async (args, why) => {
  const { exitCode, stdout } = await kunit(...args);
  expect(exitCode).toBe(1);
  expect(stdout).toContain(why);
  expect(stdout).toMatch(/^not ok 1 heki$/m);
});

// `kunit.long.test.ts` runs all suites there.
test.each(['kvm-vmm', 'kvm-vtl'])(
  'every test of the series passes on %s, and none is skipped',
  async (hypervisor) => {
    const { exitCode, stdout } = await kunit('--hypervisor', hypervisor, '--suite', 'heki');
    expect(exitCode).toBe(0);
    expect(stdout).toContain('# Totals: pass:4 fail:0 skip:0 total:4');
  },
);

test('heki kunit succeeds when tests are skipped', async () => {
  const { exitCode, stdout } = await kunit('--hypervisor', 'none', '--suite', 'heki_model', '--test', '1');
  expect(exitCode).toBe(0);
  expect(stdout).toContain(
    "ok 1 lock_cr_version # SKIP no hypervisor that answers KVM's hypercalls 13 and 14",
  );
});

test('heki kunit logs a heki_test= that makes no sense, as the kernel does', async () => {
  const { stderr } = await kunit('--suite', 'heki_v3', '--cmdline', 'heki_test=all');
  expect(stderr).toBe("heki-guest: Invalid option string for heki_test: 'all'\n");
});

test('heki kunit --list tells what the ports expect otherwise', async () => {
  const { exitCode, stdout } = await runCommand(['kunit', '--list']);
  expect(exitCode).toBe(0);
  expect(stdout).toContain('   1 heki_test_cr_disable_smep\n');
  expect(stdout).toContain('    port:      the call ends with #PF 0x11');
});

test('heki kunit --json tells of each test what KTAP tells, and exits alike', async () => {
  const args = ['--profile', 'rfc-v2', '--suite', 'heki', '--cmdline', 'heki_test=none'];
  const [ktap, json] = [await kunit(...args), await kunit(...args, '--json')];
  const value = JSON.parse(json.stdout);
  expect(json.stderr).toBe('');
  expect([ktap.exitCode, json.exitCode, value.exitCode]).toEqual([1, 1, 1]);
  expect(value.log).toEqual(ktap.stderr.trimEnd().split('\n'));
  const { tests } = value.suites[0];
  const lines = ktap.stdout.split('\n').map((line) => line.trim());
  for (const { number, name, status, log } of tests) {
    expect(lines).toContain(`${status} ${number} ${name}`);
    for (const line of log) expect(lines).toContain(`# ${line.trim()}`);
  }
  expect(tests.map(({ ended }: { ended: { kind: string } }) => ended.kind)).toEqual([
    'exception',
    'livelock',
    'livelock',
    'livelock',
  ]);
  expect(value.totals).toEqual({ pass: 0, fail: 4, skip: 0 });
});

test('heki kunit --json numbers the tests as --test takes them', async () => {
  const { exitCode, stdout } = await kunit(
    '--hypervisor',
    'none',
    '--suite',
    'heki_model',
    '--test',
    '1',
    '--json',
  );
  const { suites, totals } = JSON.parse(stdout);
  expect({ exitCode, totals }).toEqual({ exitCode: 0, totals: { pass: 0, fail: 0, skip: 1 } });
  expect(suites).toEqual([
    {
      name: 'heki_model',
      status: 'skip',
      tests: [
        {
          number: 1,
          name: 'lock_cr_version',
          status: 'skip',
          skipped: "no hypervisor that answers KVM's hypercalls 13 and 14",
          ended: null,
          log: [],
        },
      ],
    },
  ]);
});

test('heki kunit says that the model of a hypervisor is unjudged', async () => {
  const message = 'no outside implementation has judged the model of xen';
  const args = ['--hypervisor', 'xen', '--suite', 'heki_v3'];
  expect((await kunit(...args)).stderr).toBe(`note: ${message}\n`);
  expect(JSON.parse((await kunit(...args, '--json')).stdout).warnings).toEqual([{ id: 'unjudged', message }]);
});

test.each([
  [['--test', '5'], 'test 5 of heki: expected 1 to 4'],
  [['--cmdline', 'heki_test=9'], 'test 9 of heki: expected 1 to 4'],
  [['--suite', 'lib'], 'suite lib: expected one of heki, heki_v3, heki_model'],
  [['--hypervisor', 'esx'], '--hypervisor esx: expected one of'],
  [['--list'], '--list and --memory: expected one of them'],
  [['--profile', 'soft'], '--profile'],
  [['--test', 'two'], '--test'],
  [['--memory', '1TB'], '--memory'],
])('heki kunit %j is called wrongly', async (args, why) => {
  const { exitCode, stderr } = await kunit(...args);
  expect(exitCode).toBe(2);
  expect(stderr).toContain(why);
});

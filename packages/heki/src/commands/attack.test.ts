import { describe, expect, test } from 'vitest';
import { BUILT_IN_SNAPSHOT } from '../built-in-snapshot.ts';
import { fixturePath, runCommand } from '../testing/run-command.ts';

const FEW = ['store-text-after-pte-edit', 'ask-for-execution', 'remap-text', 'store-data'];
const MACHINES = ['--machine', 'no-heki', 'hardened', 'lvbs'];

describe('heki attack', () => {
  test('tells first what machines claim and what happened, then every attempt', async () => {
    const { exitCode, stdout, stderr } = await runCommand(['attack', ...FEW, ...MACHINES]);
    expect(stderr).toBe('');
    const [first] = stdout.split('\n');
    expect(first).toBe(
      '9 attempts: of 3 that a machine claims to stop 3 are stopped and 0 succeed; of 6 that it does not claim 0 are stopped and 6 succeed; 0 say nothing there',
    );
    expect(stdout).toContain('RAX is 0x600dc0de');
    expect(stdout).toContain('security_capable gives 0x0, and gave 0xffffffff');
    expect(stdout).toContain('EPT forbids it: violation 0x');
    expect(exitCode).toBe(0);
  });

  test('tells what stopped an attack, proven by taking it out', async () => {
    const { stdout } = await runCommand([
      'attack',
      'store-text-after-pte-edit',
      '--machine',
      'hardened',
      '--prove',
      '--json',
    ]);
    const { verdicts } = JSON.parse(stdout).attacks[0];
    expect(verdicts.hardened).toMatchObject({
      verdict: 'blocked',
      by: 'second-level',
      claimed: true,
      cause: 'no right to write in the second level',
    });
  });

  test('makes no finding of claims that published code does not keep', async () => {
    const { exitCode, stdout } = await runCommand([
      'attack',
      'store-module-text',
      '--machine',
      'rfc-v2',
      '--json',
    ]);
    const { attacks, unkeptClaims } = JSON.parse(stdout);
    expect(attacks[0].verdicts['rfc-v2']).toMatchObject({ verdict: 'succeeds', claimed: true });
    expect([exitCode, unkeptClaims]).toEqual([0, []]);
  });

  test('on a real kernel’s page tables: rights and remapping are judged there, and what needs a kernel that lives is not expressible', async () => {
    const few = [
      'store-text-after-pte-edit',
      'remap-rodata',
      'execute-data',
      'unsigned-module',
      'store-data',
    ];
    const { exitCode, stdout, stderr } = await runCommand([
      ...['attack', ...few, '--snapshot', BUILT_IN_SNAPSHOT, '--json'],
      ...['--machine', 'no-heki', 'hardened', 'hardened-hlat'],
    ]);
    expect([exitCode, stderr]).toEqual([0, '']);
    const { snapshot, attacks } = JSON.parse(stdout);
    expect(snapshot).toContain('Linux version 6.1');
    const verdicts = Object.fromEntries(
      attacks.map((one: { name: string; verdicts: Record<string, { verdict: string }> }) => [
        one.name,
        Object.values(one.verdicts).map(({ verdict }) => verdict),
      ]),
    );
    expect(verdicts).toEqual({
      'store-text-after-pte-edit': ['succeeds', 'blocked', 'blocked'],
      'remap-rodata': ['succeeds', 'succeeds', 'blocked'],
      'execute-data': ['succeeds', 'blocked', 'blocked'],
      'unsigned-module': ['not expressible', 'not expressible', 'not expressible'],
      'store-data': ['succeeds', 'succeeds', 'succeeds'],
    });
  });

  test('a snapshot whose kernel has no place for what is attacked cannot be used, and is told by its name', async () => {
    const path = fixturePath('k61-256-rodataoff');
    const { exitCode, stderr } = await runCommand(['attack', 'store-text', '--snapshot', path]);
    expect(stderr).toContain(`${path}: the kernel of the snapshot has 1 pages of text: expected more`);
    expect(exitCode).toBe(3);
  });

  test('lists what there is', async () => {
    const { stdout } = await runCommand(['attack', '--list']);
    for (const name of [...FEW, 'no-heki', 'xen']) expect(stdout).toMatch(new RegExp(`^ {2}${name} `, 'm'));
  });

  test('lists for programs what is known of each attack before it is tried', async () => {
    const { attacks, machines } = JSON.parse((await runCommand(['attack', '--list', '--json'])).stdout);
    expect(machines.map(({ name }: { name: string }) => name)).toContain('hardened');
    expect(attacks).toContainEqual(
      expect.objectContaining({
        name: 'race-list-page',
        race: true,
        stoppedBy: ['end-of-boot', 'sealed-code'],
      }),
    );
  });

  test.each([
    [['attack', '--list', 'remap-text'], '--list remap-text: it lists all, expected no name'],
    [['attack', 'remap-txt'], 'attack remap-txt: there is none, expected remap-text'],
    [['attack', '--memory-map', 'map.json'], 'expected --snapshot, too'],
    [
      ['attack', '--snapshot', BUILT_IN_SNAPSHOT, '--machine', 'rodata-off'],
      '--machine rodata-off: there is none',
    ],
    [['attack', '--machine', 'hardend'], '--machine hardend: there is none, expected hardened'],
  ])('%j is called wrongly, and told what would be right', async (args, message) => {
    const { exitCode, stderr } = await runCommand(args);
    expect(stderr).toContain(message);
    expect(exitCode).toBe(2);
  });
});

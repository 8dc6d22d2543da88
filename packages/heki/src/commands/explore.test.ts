import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
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

test('what did not fall before something else did is not said to hold: no state behind that was looked at', async () => {
  const options = ['explore', '--machine', 'guest', '--defect', 'B-G1', '--defect', 'B-G15', '--json'];
  const all = JSON.parse((await runCommand(options)).stdout);
  expect(all.end).toBe('cut');
  expect(all.properties).toContainEqual(expect.objectContaining({ id: 'LEAK', verdict: 'did-not-fall' }));
  const leak = JSON.parse((await runCommand([...options, '--property', 'LEAK'])).stdout);
  expect(leak.properties).toContainEqual(expect.objectContaining({ id: 'LEAK', verdict: 'falls' }));
});

describe('a story that was found', () => {
  const scratch = mkdtempSync(join(tmpdir(), 'heki-explore-'));
  afterAll(() => rmSync(scratch, { recursive: true }));
  const file = join(scratch, 'found.json');
  const verdicts = (stdout: string): string[] =>
    JSON.parse(stdout).properties.map(({ id, verdict }: Record<string, string>) => `${id} ${verdict}`);

  test('is told again on the machine with the defect, where it breaks the same, and on the one without, where it breaks nothing', async () => {
    const defective = ['--machine', 'guest', '--defect', 'B-G22', '--property', 'EARLY'];
    const found = await runCommand(['explore', ...defective, '--json']);
    writeFileSync(file, found.stdout);
    const again = await runCommand(['explore', ...defective, '--replay', file, '--json']);
    expect([again.exitCode, verdicts(again.stdout)]).toEqual([1, ['EARLY falls']]);
    const mended = await runCommand([
      'explore',
      '--machine',
      'guest',
      '--property',
      'EARLY',
      '--replay',
      file,
    ]);
    expect([mended.exitCode, mended.stdout]).toEqual([
      0,
      expect.stringContaining('1 story, 2 actions; stories were told again'),
    ]);
  });

  test('is told again on the machine that the report names', async () => {
    const found = await runCommand([
      'explore',
      '--machine',
      'xen',
      '--depth',
      '1',
      '--property',
      'P10',
      '--json',
    ]);
    writeFileSync(file, found.stdout);
    const again = await runCommand(['explore', '--replay', file, '--json']);
    expect([again.exitCode, JSON.parse(again.stdout).machine]).toEqual([1, 'xen']);
    expect(verdicts(again.stdout)).toContain('P10 falls');
  });

  test('runs no code that its file alone names', async () => {
    const module = join(scratch, 'mine.mjs');
    writeFileSync(module, 'throw new Error("it ran")');
    const properties = [{ id: 'P2', story: ['the machine is reset'] }];
    writeFileSync(file, JSON.stringify({ machine: module, options: {}, properties }));
    const { exitCode, stderr } = await runCommand(['explore', '--replay', file]);
    expect([exitCode, stderr]).toEqual([2, expect.stringContaining('expected --machine')]);
  });

  test.each<[string, properties: unknown, exitCode: number, says: string]>([
    [
      'of another machine',
      [{ id: 'P2', story: ['the kernel sleeps'] }],
      3,
      'action 1, "the kernel sleeps", cannot happen',
    ],
    [
      'of a property that there is none of',
      [{ id: '__proto__', story: ['x'] }],
      2,
      'no story in it is of P1',
    ],
    [
      'that has no end',
      [{ id: 'P2', story: Array.from({ length: 1001 }, () => 'x') }],
      3,
      'properties.0.story',
    ],
    ['that is none', 7, 3, 'properties: '],
  ])('%s is not told', async (_what, properties, exitCode, says) => {
    writeFileSync(file, JSON.stringify({ properties }));
    const { exitCode: ended, stderr } = await runCommand(['explore', '--replay', file]);
    expect([ended, stderr]).toEqual([exitCode, expect.stringContaining(says)]);
  });
});

describe('a search that is kept in a file', () => {
  const scratch = mkdtempSync(join(tmpdir(), 'heki-resume-'));
  afterAll(() => rmSync(scratch, { recursive: true }));
  const guest = ['explore', '--machine', 'guest'];

  test('goes on there to what it would have found', async () => {
    const asJson = ['explore', '--machine', 'xen', '--depth', '1', '--json'];
    const kept = ['--resume', join(scratch, 'search.json')];
    const first = await runCommand([...asJson, ...kept, '--states', '15']);
    expect(JSON.parse(first.stdout)).toMatchObject({ end: 'states', states: 15 });
    const whole = await runCommand(asJson);
    expect(JSON.parse(whole.stdout).states).toBeGreaterThan(15);
    for (let time = 0; time < 2; time++) {
      const { exitCode, stdout } = await runCommand([...asJson, ...kept]);
      expect([exitCode, stdout]).toEqual([whole.exitCode, whole.stdout]);
    }
  });

  test('goes on with nothing but the same search', async () => {
    const file = join(scratch, 'other.json');
    await runCommand([...guest, '--resume', file, '--depth', '0']);
    const { exitCode, stderr } = await runCommand([...guest, '--resume', file, '--defect', 'B-G1']);
    expect([exitCode, stderr]).toEqual([2, expect.stringContaining('it keeps a search of heki')]);
  });

  test.each<[string, change: (search: Record<string, unknown>) => unknown, says: string]>([
    ['without its states', ({ keys: _, ...search }) => search, 'search.keys'],
    ['with a state too few', (search) => ({ ...search, before: [] }), 'expected as many of each'],
    ['whose states come from nowhere', (search) => ({ ...search, by: [7] }), 'search.by.0'],
    ['that waits for states it has not', (search) => ({ ...search, next: [5] }), 'search.frontier: 5'],
    ['that was at more than there is', (search) => ({ ...search, position: 9 }), 'search.position: 9'],
    ['that is none', () => 7, 'search: '],
  ])('%s is not gone on with', async (_what, change, says) => {
    const file = join(scratch, 'broken.json');
    rmSync(file, { force: true });
    await runCommand([...guest, '--resume', file, '--depth', '0']);
    const { search, ...rest } = JSON.parse(readFileSync(file, 'utf8'));
    writeFileSync(file, JSON.stringify({ ...rest, search: change(search) }));
    const { exitCode, stderr } = await runCommand([...guest, '--resume', file]);
    expect([exitCode, stderr]).toEqual([3, expect.stringContaining(says)]);
  });
});

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { runCommand } from '../testing/run-command.ts';

const folder = mkdtempSync(join(tmpdir(), 'heki-explore-write-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** A file with a story that is known, as `--json` prints it: what takes long to search is only told. */
function told(property: string, ...story: string[]): string {
  const file = join(folder, `told-${property}.json`);
  writeFileSync(file, JSON.stringify({ properties: [{ id: property, story }] }));
  return file;
}

/** Of every kind of machine one that falls early, and what mends it. */
const MACHINES = [
  ['kvm-rfc-v2-P2', ['--profile', 'rfc-v2', '--depth', '1', '--property', 'P2'], ['--profile', 'hardened']],
  [
    'kvm-B-H12-P12',
    [
      ...['--defect', 'B-H12', '--without', 'vmm', 'device', '--replay'],
      told(
        'P12',
        'the guest asks for r-x on the text',
        'the hypervisor writes to the text on behalf of the guest',
      ),
    ],
    ['--no-defect', 'B-H12'],
  ],
  ['xen-P10', ['--machine', 'xen', '--depth', '1', '--property', 'P10'], undefined],
  ['hyperv-P1', ['--machine', 'hyperv', '--depth', '1', '--property', 'P1'], undefined],
  [
    'guest-B-G22-EARLY',
    [
      ...['--machine', 'guest', '--defect', 'B-G22', '--replay'],
      told('EARLY', 'late init is done', 'the kernel makes the generated code rw-'),
    ],
    ['--no-defect', 'B-G22'],
  ],
  [
    'lvbs-B-L5-P6',
    [
      ...['--machine', 'lvbs', '--defect', 'B-L5', '--replay'],
      told('P6', 'VTL0 asks for the module', 'VTL0 patches the head of the jump to the tracing site'),
    ],
    ['--no-defect', 'B-L5'],
  ],
  [
    'authority-B-A1-B-A7-KEY',
    ['--machine', 'authority', '--defect', 'B-A1', '--defect', 'B-A7', '--property', 'KEY'],
    ['--no-defect', 'B-A7'],
  ],
  [
    'hlat-unverified-ALIAS',
    [
      ...['--machine', 'hlat-unverified', '--replay'],
      told(
        'ALIAS',
        'the guest asks for r-x on the text',
        'the guest maps another address to the text',
        'processor 0 reads at another address',
      ),
    ],
    ['--machine', 'hlat'],
  ],
  ['abstract-ask-P6', ['--machine', 'abstract-ask', '--property', 'P6'], undefined],
  [
    'kvm-interleaved-local-flush-TLB',
    [
      ...['--machine', 'kvm-interleaved-local-flush', '--replay'],
      told('TLB', 'processor 1 reads the text', 'processor 1 asks for r-- on the text'),
    ],
    undefined,
  ],
] as const;

describe('a story that was written', () => {
  test.each(MACHINES)(
    '%s breaks the same where its file is told again, and nothing where that is mended',
    async (name, options, mended) => {
      const found = await runCommand(['explore', ...options, '--write', folder]);
      expect(found.exitCode).toBe(1);
      const file = join(folder, `${name}.json`);
      const [{ story }] = JSON.parse(readFileSync(file, 'utf8')).properties;
      const again = await runCommand(['explore', '--replay', file, '--json']);
      const [property] = name.split('-').slice(-1);
      const properties: { id: string; verdict: string; story?: string[] }[] = JSON.parse(
        again.stdout,
      ).properties;
      expect([again.exitCode, properties.find(({ id }) => id === property)]).toMatchObject([
        1,
        { verdict: 'falls', story },
      ]);
      if (mended === undefined) return;
      const without = await runCommand(['explore', '--replay', file, ...mended]);
      expect([without.exitCode, without.stderr]).toEqual([0, '']);
    },
  );

  test('is a test that passes with the published packages', () => {
    symlinkSync(fileURLToPath(new URL('../../node_modules', import.meta.url)), join(folder, 'node_modules'));
    const config = {
      include: ['*.test.mjs'],
      execArgv: process.execArgv,
      experimental: { viteModuleRunner: false, nodeLoader: false },
    };
    writeFileSync(join(folder, 'vitest.config.mjs'), `export default ${JSON.stringify({ test: config })};`);
    const vitest = dirname(createRequire(import.meta.url).resolve('vitest/package.json'));
    const { status, stdout } = spawnSync(
      process.execPath,
      [join(vitest, 'vitest.mjs'), 'run', '--root', folder, '--reporter', 'json', '--no-isolate'],
      { encoding: 'utf8' },
    );
    const { numPassedTests, numTotalTests } = JSON.parse(stdout.slice(stdout.indexOf('{')));
    const written = readdirSync(folder).filter((name) => name.endsWith('.test.mjs'));
    expect([status, numPassedTests, numTotalTests]).toEqual([0, written.length, MACHINES.length]);
  });

  test('is not written over another unless that is wanted', async () => {
    const again = ['explore', '--machine', 'abstract-ask', '--property', 'P6', '--write', folder];
    const { stderr } = await runCommand(again);
    expect(stderr).toContain('abstract-ask-P6.json: is there already; --force replaces it');
    expect((await runCommand([...again, '--force'])).stderr).toBe('');
  });
});

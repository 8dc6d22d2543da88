import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FINDING_KINDS } from '@heki/audit';
import Ajv from 'ajv-draft-04';
import addFormats from 'ajv-formats';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { withoutAddresses } from '../audit/without-addresses.ts';
import { JSON_SHAPES } from '../testing/json-shapes.ts';
import { fixturePath, projectFile, runCommand } from '../testing/run-command.ts';

const TAMPERED = fixturePath('k61-256-tampered-text-alias');
const SOUND = fixturePath('k61-256-kaslr');
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'heki-audit-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

async function auditJson(...args: readonly string[]) {
  const { exitCode, stdout, stderr } = await runCommand(['audit', ...args, '--json']);
  expect(stderr).toBe('');
  return { exitCode, json: JSON_SHAPES.audit.parse(JSON.parse(stdout)) };
}

describe('heki audit', () => {
  test('says that nothing confirms a file of symbols, as every command does that takes one', async () => {
    const few = join(folder, 'few.map');
    writeFileSync(few, 'ffffffff81000000 T _stext\nffffffff81000100 T some_function\n');
    const { json } = await auditJson(SOUND, '--no-heki', '--symbols', few);
    expect(json.warnings).toContainEqual(expect.objectContaining({ id: 'symbols-unconfirmed' }));
    const text = (await runCommand(['audit', SOUND, '--no-heki', '--symbols', few])).stdout;
    expect(text).toContain('nothing in the snapshot tells whether few.map is of its kernel');
  });

  test('fails for text that the direct map lets one write, and says where', async () => {
    const { exitCode, json } = await auditJson(TAMPERED);
    expect(exitCode).toBe(1);
    expect(json.verdict).toMatchObject({ result: 'fail', worst: 'critical' });
    expect(json.findings[0]).toMatchObject({
      id: 'heki/wx-alias',
      pages: 512,
      ranges: [{ start: '0x1000000', end: '0x1200000' }],
      fails: true,
    });
    expect(json.heki).toMatchObject({ inForce: true, hypervisor: 'kvm' });
  });

  test('passes a stock kernel, whose findings are information', async () => {
    const { exitCode, json } = await auditJson(SOUND, '--no-heki');
    expect(exitCode).toBe(0);
    expect(json.verdict).toMatchObject({ result: 'pass', worst: 'info' });
    expect(json.heki).toBeNull();
    expect((await runCommand(['audit', SOUND, '--no-heki', '--fail-on', 'info'])).exitCode).toBe(1);
  });

  test('prints the verdict first, a picture, and the findings', async () => {
    const { stdout } = await runCommand(['audit', TAMPERED, '--no-heki']);
    expect(stdout).toMatch(/^FAILS: 1 finding at high or above, the worst critical\n/);
    expect(stdout).toContain('!!!!!xxx');
    expect(stdout).toContain('mapped rw- at 0xffff888001000000, 512 pages, direct map');
  });

  test('leaves out what a report need not disclose', async () => {
    for (const args of [[], ['--json']]) {
      const { stdout } = await runCommand([
        'audit',
        fixturePath('k61-256-rodataoff'),
        '--redact',
        '--no-heki',
        ...args,
      ]);
      expect(stdout).not.toMatch(/0xffff|Debian|6\.1\.0|console=|rodataoff/);
      expect(stdout).toContain('heki/wx-mapping');
      // The picture of memory shows where KASLR put the code.
      expect(stdout).not.toContain('one character is');
    }
    expect(withoutAddresses('IDTR of CPU 0 is 0xfffffe0000001000: hole.')).toBe(
      'IDTR of CPU 0 is 0x...: hole.',
    );
  });

  test('accepts a finding no more when it is about more pages than before', async () => {
    const known = join(folder, 'grown.json');
    const args = ['--no-heki', '--baseline', known];
    await runCommand(['audit', TAMPERED, ...args, '--update-baseline']);
    expect((await auditJson(TAMPERED, ...args)).exitCode).toBe(0);
    const entries = JSON.parse(readFileSync(known, 'utf8'));
    expect(entries.accepted[0]).toMatchObject({ id: 'heki/wx-alias', pages: 512 });
    entries.accepted[0].pages = 511;
    writeFileSync(known, JSON.stringify(entries));
    expect((await auditJson(TAMPERED, ...args)).exitCode).toBe(1);
  });

  test('finds nothing at high or above in a redacted extract, which has no IDTR', async () => {
    const extract = join(folder, 'redacted.elf');
    await runCommand(['extract', fixturePath('k61-256-kaslr'), '--redact', '-o', extract]);
    const { exitCode, json } = await auditJson(extract, '--no-heki');
    expect(json.verdict.worst).toBe('info');
    expect(exitCode).toBe(0);
  });

  test('says that protections were not checked where a dump has no control registers, with --redact too', async () => {
    const dump = projectFile('fixtures/formats/proc-vmcore-small.elf.gz');
    for (const args of [[], ['--redact']]) {
      const { exitCode, json } = await auditJson(dump, '--no-heki', ...args);
      expect(exitCode).toBe(0);
      expect(json.warnings.map(({ id }) => id)).toContain('protections-not-checked');
    }
  });

  test('accepts what a baseline knows, after another boot too, unless it got worse or has expired', async () => {
    const baseline = join(folder, 'known.json');
    const update = await runCommand([
      'audit',
      SOUND,
      '--no-heki',
      '--baseline',
      baseline,
      '--update-baseline',
    ]);
    expect(update.exitCode).toBe(0);
    // The same build with another layout.
    const other = await auditJson(
      fixturePath('k61-256-nokaslr'),
      ...['--no-heki', '--baseline', baseline, '--fail-on', 'info'],
    );
    expect(other.exitCode).toBe(0);
    expect(other.json.findings.every(({ accepted }) => accepted === 'known')).toBe(true);
    const tampered = await auditJson(TAMPERED, '--no-heki', '--baseline', baseline);
    expect(tampered.exitCode).toBe(1);

    const entries = JSON.parse(readFileSync(baseline, 'utf8'));
    entries.accepted[0].expires = '2020-01-01';
    writeFileSync(baseline, JSON.stringify(entries));
    const expired = await auditJson(SOUND, '--no-heki', '--baseline', baseline, '--fail-on', 'info');
    expect(expired.json.findings.filter(({ fails }) => fails)).toHaveLength(1);
  });

  test('an update leaves a day that has passed to who set it, and fails as the next run does', async () => {
    const baseline = join(folder, 'expired.json');
    const args = ['--no-heki', '--baseline', baseline];
    await runCommand(['audit', TAMPERED, ...args, '--update-baseline']);
    const entries = JSON.parse(readFileSync(baseline, 'utf8'));
    entries.accepted[0].expires = '2020-01-01';
    writeFileSync(baseline, JSON.stringify(entries));
    const update = await runCommand(['audit', TAMPERED, ...args, '--update-baseline']);
    expect(update.exitCode).toBe(1);
    expect(update.stdout).toContain('the baseline accepted heki/wx-alias until 2020-01-01');
    expect(JSON.parse(readFileSync(baseline, 'utf8'))).toEqual(entries);
    const next = await auditJson(TAMPERED, ...args);
    expect(next.exitCode).toBe(1);
    expect(next.json.warnings.map(({ id }) => id)).toContain('baseline-expired');
  });

  test.each([
    ['{', 'not JSON'],
    ['{}', 'version'],
    ['{"version":1,"accepted":[{"fingerprint":"x"}]}', 'accepted.0.id'],
    [
      '{"version":1,"accepted":[{"fingerprint":"x","id":"x","severity":"low","expires":"2027-99-99"}]}',
      'accepted.0.expires: expected a day',
    ],
  ])('refuses a baseline %s', async (text, message) => {
    const baseline = join(folder, 'bad.json');
    writeFileSync(baseline, text);
    const { exitCode, stderr } = await runCommand(['audit', SOUND, '--no-heki', '--baseline', baseline]);
    expect(exitCode).toBe(3);
    expect(stderr).toContain(message);
  });

  test('writes SARIF that keeps to the standard and that GitHub takes', async () => {
    const file = join(folder, 'audit.sarif');
    await runCommand(['audit', TAMPERED, '--no-heki', '--sarif', file]);
    const sarif = JSON.parse(readFileSync(file, 'utf8'));
    const ajv = new Ajv.default({ strict: false });
    addFormats.default(ajv);
    const validate = ajv.compile(
      JSON.parse(readFileSync(projectFile('fixtures/standards/sarif-schema-2.1.0.json'), 'utf8')),
    );
    expect(validate(sarif), JSON.stringify(validate.errors)).toBe(true);
    const [run] = sarif.runs;
    expect(run.results.length).toBeGreaterThan(1);
    for (const result of run.results) {
      expect(run.tool.driver.rules[result.ruleIndex].id).toBe(result.ruleId);
      const [{ physicalLocation, logicalLocations }] = result.locations;
      expect(physicalLocation.artifactLocation.uri).toMatch(/^[^/:]+$/);
      expect(physicalLocation.region.startLine).toBeGreaterThan(0);
      expect(logicalLocations.length).toBeGreaterThan(0);
      expect(result.message.text).not.toBe('');
    }
  });

  test('writes Markdown in which nothing of the guest is markup', async () => {
    const file = join(folder, 'audit.md');
    await runCommand(['audit', TAMPERED, '--no-heki', '--markdown', file]);
    const text = readFileSync(file, 'utf8');
    expect(text).toContain('# Memory audit: fails');
    expect(text).toContain('| critical | `heki/wx-alias` |');
    expect(text).toContain('`0xffff888001000000-0xffff8880011fffff`');
  });

  test('wants a file for --update-baseline', async () => {
    const { exitCode, stderr } = await runCommand(['audit', SOUND, '--update-baseline']);
    expect(exitCode).toBe(2);
    expect(stderr).toContain('expected --baseline FILE');
  });
});

describe('heki explain', () => {
  test('lists every kind of finding', async () => {
    const { stdout } = await runCommand(['explain']);
    for (const { id, title } of FINDING_KINDS) {
      expect(stdout).toContain(id);
      expect(stdout).toContain(title);
    }
  });

  test('says more of one, with or without its prefix', async () => {
    const { stdout } = await runCommand(['explain', 'wx-alias']);
    expect(stdout).toContain('What to do:');
    expect((await runCommand(['explain', 'heki/wx-alias'])).stdout).toBe(stdout);
    const { exitCode, stderr } = await runCommand(['explain', 'nothing']);
    expect(exitCode).toBe(2);
    expect(stderr).toContain('expected one of heki/');
  });
});

test('the files that the example has for GitHub, libvirt and cron use options that there are', async () => {
  const { stdout: help } = await runCommand(['audit', '--help']);
  for (const name of ['audit.yml', 'libvirt-hook', 'audit.cron']) {
    const text = readFileSync(projectFile(`examples/audit-a-kernel/deploy/${name}`), 'utf8');
    const options = [...text.matchAll(/heki audit ([^&|>\n]*)/g)].flatMap(
      ([, args = '']) => args.match(/--[a-z-]+/g) ?? [],
    );
    expect(options.length).toBeGreaterThan(1);
    for (const option of options) expect(help).toContain(option);
  }
});

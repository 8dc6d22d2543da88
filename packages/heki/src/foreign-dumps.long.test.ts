import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, describe, expect, test } from 'vitest';
import { type ProtectAnswer, protectReport, protectVerdict, verdictOf } from './testing/protect-verdict.ts';
import { projectFile, runCommand } from './testing/run-command.ts';

/** Under which a redacted dump is compared: both take a minute more. */
const PROFILES = process.env.HEKI_FUZZ === 'long' ? ['hardened', 'rfc-v2'] : ['hardened'];

/** What heki must say of one dump; `fixtures/foreign/verdicts.json` tells what each key means. */
interface Expected {
  readonly dump?: string;
  readonly options?: readonly string[];
  readonly tables: string;
  readonly processor: string;
  readonly pages: 'judged' | Readonly<Record<string, number>>;
  readonly attacks: string;
  readonly warnings: readonly string[];
  readonly exitCode: number;
  readonly published?: Pick<Expected, 'attacks' | 'exitCode'>;
  readonly crashKernel?: readonly [readOnly: number, sealed: number];
}

const FOLDER = projectFile('fixtures/foreign');
const {
  attacks,
  dumps,
}: {
  readonly attacks: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly dumps: Readonly<Record<string, Expected>>;
} = JSON.parse(readFileSync(join(FOLDER, 'verdicts.json'), 'utf8'));

/** What stands beside a dump about where it comes from and what QEMU says of it. */
interface Provenance {
  readonly made?: { readonly edited?: unknown };
  readonly judged?: { readonly infoTlbSha256?: string; readonly pages: Readonly<Record<string, number>> };
}

function provenance(name: string): Provenance {
  const path = join(FOLDER, `${name}.json`);
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : {};
}

const scratch = mkdtempSync(join(tmpdir(), 'heki-foreign-'));
afterAll(() => rmSync(scratch, { recursive: true }));

test('every foreign dump has its verdict in the table', () => {
  const files = readdirSync(FOLDER).filter((file) => file.endsWith('.elf.gz'));
  const told = Object.entries(dumps).filter(([, { dump }]) => dump === undefined);
  expect(told.map(([name]) => name).sort()).toEqual(files.map((file) => file.replace('.elf.gz', '')).sort());
});

describe.each(Object.entries(dumps))('%s', (name, expected) => {
  const snapshot = join(FOLDER, expected.dump ?? `${name}.elf.gz`);
  const options = (expected.options ?? []).map((option) => option.replace('DIR', FOLDER));
  const { judged, made } = provenance(name);
  const answers = new Map<string, Promise<ProtectAnswer>>();
  /** What is said of the dump under a profile: asked once, for all tests. */
  const protectedBy = (profile: string): Promise<ProtectAnswer> => {
    const answer = answers.get(profile) ?? protectReport(snapshot, ...options, '--profile', profile);
    answers.set(profile, answer);
    return answer;
  };

  test('is protected as the table says', async () => {
    const { exitCode, stderr, report } = await protectedBy('hardened');
    expect({
      exitCode,
      stderr,
      tables: report?.tables.from,
      processor: [report?.processor.name, ...(report?.processor.lacking ?? [])].join(' with '),
      pages: report?.pages,
      attacks: Object.fromEntries(report?.attacks.map((attack) => [attack.name, attack.standing]) ?? []),
      warnings: report?.warnings.map(({ id }) => id),
      crashKernel: [report?.crashKernel.readOnlyPages, report?.crashKernel.immutablePages],
    }).toEqual({
      exitCode: expected.exitCode,
      stderr: '',
      tables: expected.tables,
      processor: expected.processor,
      pages: expected.pages === 'judged' ? judged?.pages : expected.pages,
      attacks: attacks[expected.attacks],
      warnings: expected.warnings,
      crashKernel: expected.crashKernel ?? [0, 0],
    });
  });

  test('is protected by the published series as the table says', async () => {
    const { exitCode, report } = await protectedBy('rfc-v2');
    const published = expected.published ?? expected;
    expect({
      exitCode,
      attacks: Object.fromEntries(report?.attacks.map((attack) => [attack.name, attack.standing]) ?? []),
    }).toEqual({ exitCode: published.exitCode, attacks: attacks[published.attacks] });
  });

  test.skipIf(judged?.infoTlbSha256 === undefined)(
    'has the leaves that QEMU lists, byte for byte',
    async () => {
      const { stdout } = await runCommand(['walk', snapshot, '--format', 'info-tlb']);
      expect(createHash('sha256').update(stdout).digest('hex')).toBe(judged?.infoTlbSha256);
    },
  );

  test.skipIf(made === undefined)('is what heki extract makes of it', async () => {
    const again = join(scratch, `${name}.again.elf.gz`);
    const user = readFileSync(join(FOLDER, `${name}.json`), 'utf8').includes('"userHalfKept": true');
    await runCommand(['extract', snapshot, '-o', again, '--force', ...(user ? ['--user'] : [])]);
    expect(gunzipSync(readFileSync(again)).equals(gunzipSync(readFileSync(snapshot)))).toBe(true);
  });

  test('gets the same verdicts when it is redacted', async () => {
    const small = join(scratch, `${name}.elf.gz`);
    const { exitCode, stderr } = await runCommand([
      ...['extract', snapshot, '-o', small, '--redact', '--force'],
      ...options,
    ]);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
    for (const profile of PROFILES) {
      expect(await protectVerdict(small, '--profile', profile)).toEqual(
        verdictOf(await protectedBy(profile)),
      );
    }
  });
});

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, test } from 'vitest';
import { expectAttacks, expectPublishedRanges } from './testing/attack-table.ts';
import { expectTextOfQemu } from './testing/expect-text-of-qemu.ts';
import { expectSameVerdict } from './testing/protect-verdict.ts';
import { FIXTURES } from './testing/run-command.ts';

const scratch = mkdtempSync(join(tmpdir(), 'heki-fixtures-'));
afterAll(() => rmSync(scratch, { recursive: true }));
const small = join(scratch, 'small.elf.gz');

describe.each(FIXTURES)('%s', (name) => {
  test.each([
    ['hardened', true],
    ['rfc-v2', true],
    ['hardened', false],
    ['rfc-v2', false],
  ] as const)('has the attack table that is known, %s, with MBEC: %s', (profile, mbec) =>
    expectAttacks(name, profile, mbec),
  );

  test("is walked exactly as QEMU's text has it", () => expectTextOfQemu(name));

  test('sends under rfc-v2 what the published guest core sends', () => expectPublishedRanges(name));

  test.each<[options: '--redact'[]]>([[[]], [['--redact']]])(
    'has an extract with the same verdict %j',
    (options) => expectSameVerdict(name, small, ...options),
  );
});

import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { auditKernel, isAtLeast } from './index.ts';
import { tamperedKernel } from './testing/tampered-kernel.ts';

const folder = join(import.meta.dirname, '../../../fixtures');
const named = (of: string): string[] =>
  readdirSync(of)
    .filter((name) => name.endsWith('.elf.gz'))
    .map((name) => name.replace('.elf.gz', ''));
const foreign = named(join(folder, 'foreign')).map((name) => `foreign/${name}`);
const all = [...named(folder), ...foreign];
/** Booted with rodata=off, changed by a debugger, or still booting. */
const unsound = [
  'k61-256-rodataoff',
  'k61-256-tampered-text-alias',
  'stage61-mark_rodata_ro',
  'stage61-rest_init',
];

describe('a stock kernel', () => {
  test.each(all.filter((name) => !unsound.includes(name)))('has no finding at high or above: %s', (name) => {
    const kernel = tamperedKernel(name);
    for (const subject of [kernel.subject(), withoutNames(kernel.subject())]) {
      const { findings } = auditKernel(subject);
      expect(findings.filter(({ severity }) => isAtLeast(severity, 'high'))).toEqual([]);
      // What every stock kernel has.
      expect(findings.map(({ id }) => id)).toEqual(
        expect.arrayContaining(['heki/executable-outside-text', 'heki/descriptor-tables-writable']),
      );
    }
  });

  test.each(unsound)('that is not sound has: %s', (name) => {
    const kernel = tamperedKernel(name);
    for (const subject of [kernel.subject(), withoutNames(kernel.subject())]) {
      expect(auditKernel(subject).worst).toBe('critical');
    }
  });
});

/** As a dump alone tells it. */
function withoutNames({
  symbols: _,
  iomem: __,
  bases: ___,
  memoryMap: ____,
  ...rest
}: Parameters<typeof auditKernel>[0]) {
  return rest;
}

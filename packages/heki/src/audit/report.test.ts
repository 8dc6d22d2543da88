import type { ComparedModule } from '@heki/patch-sites';
import { expect, test } from 'vitest';
import { openSubject } from '../protect/open-subject.ts';
import { fixturePath } from '../testing/run-command.ts';
import { createBaseline, updatedBaseline } from './baseline.ts';
import { auditReport } from './report.ts';

/** Where the modules' region begins, as a signed number. */
const MODULES = -0x4000_0000;

const module = (name: string, changed: boolean): ComparedModule => ({
  name,
  compared: 64,
  differing: changed ? 1 : 0,
  unexplained: changed
    ? [
        {
          start: MODULES,
          end: MODULES + 1,
          at: undefined,
          value: 'cc',
          section: { name: '.text', start: MODULES },
          isCode: true,
        },
      ]
    : [],
});

test('a redacted report names no module, and is judged by the same baseline as one with names', async () => {
  const subject = await openSubject(fixturePath('k61-256-nokaslr'), {});
  const part = {
    range: { start: 0, end: 0 },
    compared: 0,
    differing: 0,
    explained: new Map(),
    unexplained: [],
  };
  const report = (modules: readonly ComparedModule[], redact: boolean, baseline = createBaseline([])) =>
    auditReport(subject, {
      failOn: 'high',
      baseline,
      heki: undefined,
      redact,
      evidence: {
        contents: {
          text: { ...part, probed: [], traced: [], tracedByBpf: 0, updatedStaticCalls: [] },
          constants: undefined,
          modules,
        },
      },
      today: '2026-11-29',
    });
  const modules = [module('ext4', false), module('vmw_vsock', true)];
  const redacted = report(modules, true);
  expect(redacted.fails).toBe(true);
  expect(JSON.stringify(redacted.findings)).not.toContain('vmw_vsock');
  expect(JSON.stringify(redacted.findings)).toContain('the module module 2');

  for (const written of [true, false]) {
    const baseline = updatedBaseline(report(modules, written).known, createBaseline([]));
    for (const read of [true, false]) {
      expect(report(modules, read, baseline)).toMatchObject({ fails: false, unusedBaseline: 0 });
      // Another module at the same number.
      const other = [module('ext4', false), module('nf_tables', true)];
      expect(report(other, read, baseline)).toMatchObject({ fails: true, unusedBaseline: 1 });
    }
  }
  subject.core.close();
});

import type { Audit, Finding } from '@heki/audit';
import { expect, test } from 'vitest';
import { openSubject } from '../protect/open-subject.ts';
import { fixturePath } from '../testing/run-command.ts';
import { auditSubject } from './report.ts';
import { judge, newAlarms } from './watch-alarms.ts';

test('a finding that grows is an alarm again, by pages or by another CPU that has it; one that shrinks is none', async () => {
  const subject = await openSubject(fixturePath('k61-256-nokaslr'), {});
  const audit = auditSubject(subject);
  subject.core.close();
  const [any] = audit.findings;
  if (any === undefined) throw new Error('expected a finding');
  const finding = (pages: number): Finding => ({ ...any, severity: 'high', pages });
  const alarms = (...findings: Finding[]) => judge(audit, { ...audit, findings } satisfies Audit).alarms;
  const ids = (before: readonly Finding[], now: readonly Finding[]): string[] =>
    newAlarms(alarms(...before), alarms(...now)).map(([id]) => id);

  expect(ids([], [finding(1)])).toEqual([any.fingerprint]);
  expect(ids([finding(1)], [finding(1)])).toEqual([]);
  expect(ids([finding(1)], [finding(2)])).toEqual([any.fingerprint]);
  expect(ids([finding(0)], [finding(0), finding(0)])).toEqual([any.fingerprint]);
  expect(ids([finding(2)], [finding(1)])).toEqual([]);
});

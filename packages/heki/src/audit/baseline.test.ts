import type { Finding } from '@heki/audit';
import { expect, test } from 'vitest';
import { type BaselineEntry, baselineText, createBaseline, updatedBaseline } from './baseline.ts';

const TODAY = '2026-11-29';
const finding = (pages: number, severity: Finding['severity'] = 'high'): Finding => ({
  id: 'heki/kernel-half-differs',
  fingerprint: 'heki/kernel-half-differs|vmalloc rw-',
  severity,
  pages,
  summary: '',
  title: '',
  explanation: '',
  advice: '',
  ranges: [],
  aliases: [],
  aliasesLeftOut: 0,
  place: 'vmalloc rw-',
});
/** The baseline that accepts `findings`, as it is read again. */
const baselineOf = (findings: readonly Finding[], before: readonly BaselineEntry[] = []): BaselineEntry[] =>
  JSON.parse(baselineText(updatedBaseline(findings, createBaseline(before)))).accepted;
const accepted = (entries: readonly BaselineEntry[], findings: readonly Finding[]): (string | undefined)[] =>
  createBaseline(entries).accept(findings, TODAY);

test('an entry accepts one finding, and not the next CPU that has it, too', () => {
  const entries = baselineOf([finding(3)]);
  expect(accepted(entries, [finding(3)])).toEqual(['known']);
  expect(accepted(entries, [finding(3), finding(1)])).toEqual(['known', undefined]);
});

test('what was written to a baseline is accepted, in any order, where several findings have one fingerprint', () => {
  const entries = baselineOf([finding(5), finding(1), finding(3)]);
  expect(accepted(entries, [finding(1), finding(3), finding(5)])).toEqual(['known', 'known', 'known']);
  expect(accepted(entries, [finding(5), finding(5)])).toEqual(['known', undefined]);
});

test('what every kernel has may come more often, and grow', () => {
  expect(accepted(baselineOf([finding(1, 'low')]), [finding(9, 'low'), finding(2, 'low')])).toEqual([
    'known',
    'known',
  ]);
});

test('an entry accepts until its day, and the others of its fingerprint go on', () => {
  const [entry] = baselineOf([finding(1)]);
  const until = (expires: string): BaselineEntry[] => (entry === undefined ? [] : [{ ...entry, expires }]);
  expect(accepted(until(TODAY), [finding(1)])).toEqual(['known']);
  expect(accepted(until('2026-11-28'), [finding(1)])).toEqual([undefined]);
  expect(accepted([...until('2026-11-28'), ...until('2027-01-01')], [finding(1)])).toEqual(['known']);
});

test('an entry whose day has passed is told where its finding is still there, and an update leaves the day as it was', () => {
  const [entry] = baselineOf([finding(1)]);
  const until = (expires: string): BaselineEntry[] => (entry === undefined ? [] : [{ ...entry, expires }]);
  const expired = (entries: readonly BaselineEntry[], findings: readonly Finding[]) =>
    createBaseline(entries).expired(findings, TODAY);
  const passed = until('2026-11-28');
  expect(expired(passed, [finding(1)])).toEqual(passed);
  expect(expired(passed, [])).toEqual([]);
  expect(expired([...until(TODAY), ...baselineOf([finding(1)])], [finding(1)])).toEqual([]);
  expect(baselineOf([finding(2)], passed)).toEqual([{ ...passed[0], pages: 2 }]);
});

test('each of several findings with one fingerprint keeps its reason', () => {
  const [one, other] = baselineOf([finding(1), finding(2)]);
  if (one === undefined || other === undefined) throw new Error('expected two entries');
  const again = baselineOf(
    [finding(1), finding(2)],
    [
      { ...one, reason: 'first' },
      { ...other, reason: 'second' },
    ],
  );
  expect(again.map(({ reason }) => reason)).toEqual(['first', 'second']);
});

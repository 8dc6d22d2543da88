import type { StoredResult } from '@heki/fleet';
import { expect, test } from 'vitest';
import { csvHeader, csvRow } from './result-csv.ts';

const result: StoredResult = {
  id: '780713ff-c35a-8252-985a-fca2f45078aa',
  item: {
    source: { uri: '=cmd|/C calc!A0', fingerprint: 'f' },
    ...{ command: 'audit', options: {}, hekiVersion: '1.0.0' },
  },
  ...{ outcome: 'fail', worst: 'high', milliseconds: 5, worker: 'w', findings: [] },
  kernel: '@SUM("1",\n2)\u001b[31m\u202e',
  text: '+1, "quoted"',
  finishedAt: new Date('2026-11-29T13:00:00Z'),
};

test('a row is of one line, and no cell that a guest chose is a formula or moves letters', () => {
  const columns = csvHeader().trimEnd().split(',');
  expect(columns).toHaveLength(10);
  expect(csvRow(result)).toBe(
    `780713ff-c35a-8252-985a-fca2f45078aa,'=cmd|/C calc!A0,fail,high,,"'@SUM(""1"",\\n2)\\x1b[31m\\u{202e}","'+1, ""quoted""",5,1.0.0,2026-11-29T13:00:00.000Z\n`,
  );
});

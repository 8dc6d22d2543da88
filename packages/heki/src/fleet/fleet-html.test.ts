import type { StoredResult } from '@heki/fleet';
import { expect, test } from 'vitest';
import { fleetHtml } from './fleet-html.ts';
import { fleetPicture } from './fleet-picture.ts';

const HOSTILE = '</style><script>alert(1)</script><img src=x onerror=alert(1)> "q" \u202e\u0007';

function result(index: number, over: Partial<StoredResult> = {}): StoredResult {
  return {
    id: `780713ff-c35a-8252-985a-fca2f450780${index}`,
    item: {
      source: { uri: `/dumps/${index}`, fingerprint: 'f' },
      ...{ command: 'audit', options: {}, hekiVersion: '1.0.0' },
    },
    ...{
      outcome: 'pass',
      text: 'no finding',
      worst: 'info',
      kernel: 'Linux 6.1',
      worker: 'w',
      milliseconds: 5,
    },
    findings: [finding('heki/usual')],
    finishedAt: new Date(`2026-11-2${index}T13:00:00Z`),
    ...over,
  };
}

const finding = (fingerprint: string, id = 'heki/x') => ({
  ...{ id, severity: 'info', summary: HOSTILE, fingerprint, pages: 1, fails: false },
});

async function* all(...results: readonly StoredResult[]) {
  yield* results;
}

test('a guest is unlike its siblings where most of them have the same findings, and it has others', async () => {
  const odd = result(4, { outcome: 'fail', findings: [finding('heki/odd')] });
  const { unlike, findings, guests, days } = await fleetPicture(
    all(result(1), result(2), result(3), odd, result(5, { kernel: 'Linux 6.12' })),
  );
  expect(unlike).toEqual([{ result: odd, siblings: 4, alike: 3, more: ['heki/odd'], fewer: ['heki/usual'] }]);
  expect(findings).toEqual([{ id: 'heki/x', severity: 'info', guests: 5 }]);
  expect(guests).toEqual({ pass: 4, fail: 1, unreadable: 0, changed: 0 });
  expect(days.map(({ day }) => day)).toEqual([1, 2, 3, 4, 5].map((day) => `2026-11-2${day}`));
});

test('where no half agrees none is unlike, and only the newest result of a guest counts', async () => {
  const other = (index: number) => result(index, { findings: [finding(`${index}`)] });
  expect((await fleetPicture(all(other(1), other(2), other(3), result(4)))).unlike).toEqual([]);
  const { item } = result(1);
  const mended = await fleetPicture(all(result(1, { outcome: 'fail' }), result(2, { item })));
  expect([mended.total, mended.guests.pass, mended.bad]).toEqual([2, 1, []]);
});

test('the page has no script, asks for nothing, and shows hostile text as text', async () => {
  const hostile = result(4, {
    ...{ outcome: 'fail', text: HOSTILE, kernel: HOSTILE, worker: HOSTILE },
    item: { ...result(4).item, source: { uri: HOSTILE, fingerprint: 'f' } },
    findings: [finding(HOSTILE, HOSTILE)],
  });
  const siblings = [1, 2, 3].map((index) => result(index, { kernel: HOSTILE }));
  const setAside = { id: 'i', uri: HOSTILE, reason: HOSTILE, attempts: 3, at: new Date(0) };
  const page = [...fleetHtml(await fleetPicture(all(...siblings, hostile)), [setAside])].join('\n');
  expect(page).not.toMatch(/<script|<img|src=(?!x)|https?:|url\(|\u202e/);
  expect(page).toMatch(/default-src 'none'; style-src 'sha256-[A-Za-z0-9+/]{43}='/);
  expect(page.split('&lt;script&gt;alert(1)').length).toBeGreaterThan(8);
  expect(page).toContain(', unlike 3 of 4');
  expect(page).toContain('1 set aside');
});

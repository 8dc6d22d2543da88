import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { afterAll, expect, test } from 'vitest';
import { InputError } from '../failure.ts';
import { type RecordedCall, readRecording } from './recording.ts';
import { type ReplayReport, replayRecording } from './replay-recording.ts';

type Recording = 'real-6.1-256m' | 'real-6.1-churn';

/** Each is read once. */
const recordings = new Map<Recording, readonly RecordedCall[]>();
afterAll(() => recordings.clear());

function read(name: Recording): readonly RecordedCall[] {
  const known = recordings.get(name);
  if (known !== undefined) return known;
  const packed = readFileSync(new URL(`../../../../vectors/counters/${name}.json.gz`, import.meta.url));
  const calls = readRecording(gunzipSync(packed).toString());
  recordings.set(name, calls);
  return calls;
}

/** Frames by `effective wanted`, with `!` for immutable ones. */
function endOf({ end }: ReplayReport): Record<string, number> {
  return Object.fromEntries(
    end.map(({ effective, wanted, immutable, frames }) => [
      `${effective} ${wanted}${immutable ? '!' : ''}`,
      frames,
    ]),
  );
}

test('rfc-v2 leaves pages of a real kernel writable and executable, and drops nearly every range', () => {
  const report = replayRecording(read('real-6.1-256m'), { profile: 'rfc-v2', mbec: true });
  expect(report).toMatchObject({
    calls: 9637,
    hypercalls: 8426,
    failedHooks: 0,
    ranges: { sent: 8503, applied: 221, dropped: 8134, refused: 148 },
  });
  expect(endOf(report)).toEqual({
    'rw- rw-': 58_887,
    'r-x r-x!': 4098,
    'r-- r--!': 2088,
    'rwx r-x': 150,
    'rw- r--': 139,
    'r-x r-x': 122,
    'rwx rwx': 17,
    'rwx rw-': 3,
  });
});

test('rfc-v2 leaves freed pages of modules executable', () => {
  const report = replayRecording(read('real-6.1-churn'), { profile: 'rfc-v2', mbec: true });
  expect(report.hypercalls).toBe(47_710);
  expect(report.ranges.refused).toBe(660);
  expect(endOf(report)['rwx rw-']).toBe(252);
});

test.each(['real-6.1-256m', 'real-6.1-churn'] as const)(
  'hardened drops nothing of %s and grants every page what it needs',
  (name) => {
    const report = replayRecording(read(name), { profile: 'hardened', mbec: true });
    expect(report.ranges.dropped).toBe(0);
    expect(report.failedHooks).toBe(report.ranges.refused);
    expect(report.end.filter(({ effective, wanted }) => effective !== wanted)).toEqual([]);
  },
);

test('without MBEC the kernel can execute every page', () => {
  const report = replayRecording(read('real-6.1-256m'), { profile: 'hardened', mbec: false });
  expect(new Set(report.end.map(({ effective }) => effective))).toEqual(new Set(['r-x', 'rwx']));
});

test('tells what is done, in order and up to the end', () => {
  const seen: number[] = [];
  replayRecording(read('real-6.1-256m'), {
    profile: 'hardened',
    mbec: true,
    onProgress: (calls) => seen.push(calls),
  });
  expect(seen).toEqual([...seen].sort((a, b) => a - b));
  expect(seen.at(-1)).toBe(9637);
});

test('refuses a recording that never protects, and one that speaks of absurd frames', () => {
  const [map, ...others] = read('real-6.1-256m');
  expect(map).toBeDefined();
  const unprotected = [map, ...others].filter((call) => call !== undefined).slice(0, 10);
  expect(() => replayRecording(unprotected, { profile: 'rfc-v2', mbec: true })).toThrow(InputError);
  const text = JSON.stringify([
    [{ cmd: 'protect', set: 0, clear: 0, setGlobal: 8, leaves: [['fffffffff000', '1000', '3']] }],
  ]);
  expect(() => replayRecording(readRecording(text), { profile: 'rfc-v2', mbec: true })).toThrow(
    'frame 0xfffffffff: expected frames below 0x40000000',
  );
});

test('looks at what one leaf of 1 TiB became at once, beside pages that became something else', () => {
  const map = (leaves: string[][]) => ({ cmd: 'map', set: 0, clear: 0, setGlobal: 0, leaves });
  const whole = ['0', '10000000000', '8000000000000063'];
  const text = ['7ffffff000', '2000', '61'];
  const recording = [map([whole]), map([text]), { ...map([text, whole]), cmd: 'protect', setGlobal: 8 }];
  const { rights, end } = replayRecording(readRecording(JSON.stringify([recording])), { mbec: true });
  expect(end).toEqual([
    { effective: 'rw-', wanted: 'rw-', immutable: false, frames: 2 ** 28 - 2 },
    { effective: 'rwx', wanted: 'rwx', immutable: false, frames: 2 },
  ]);
  expect(rights.writableCode).toMatchObject([{ start: 0x7ffffff, end: 0x800_0001 }]);
});

import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import type { Gfn } from '@heki/physical-memory';
import { expect, test } from 'vitest';
import { createGuest, range, type TestGuest } from './testing/guest.ts';

interface Call {
  readonly cmd: 'map' | 'update' | 'unmap' | 'protect';
  readonly set: number;
  readonly clear: number;
  readonly leaves: readonly (readonly [string, string, string])[];
  readonly pageList: readonly (readonly [string, string, string][])[] | null;
}

/** The published permission counters, page by page (Heki v2 14/19 to 18/19). */
function count(counters: Map<number, number[]>, call: Call): void {
  for (const [pa, size, flags] of call.leaves) {
    const bits = BigInt(`0x${flags}`);
    const permissions = 1 | (((bits >> 1n) & 1n) !== 0n ? 2 : 0) | (bits >> 63n === 0n ? 4 : 0);
    const first = Number.parseInt(pa, 16) / 4096;
    for (let frame = first; frame < first + Number.parseInt(size, 16) / 4096; frame++) {
      const counts = counters.get(frame) ?? [0, 0, 0];
      if (call.cmd === 'map') counters.set(frame, counts);
      for (const index of [0, 1, 2]) {
        const has = ((permissions >> index) & 1) !== 0;
        const set = ((call.set >> index) & 1) !== 0;
        const clear = ((call.clear >> index) & 1) !== 0;
        const old = counts[index] ?? 0;
        if (call.cmd === 'map') counts[index] = old + (has ? 1 : 0);
        else if (call.cmd === 'unmap') counts[index] = old - (has ? 1 : 0);
        else if (call.cmd === 'protect') counts[index] = has && old === 0 ? 1 : old;
        else counts[index] = old + (set && !has ? 1 : 0) - (clear && has ? 1 : 0);
      }
    }
  }
}

/** Sends every page list of a recorded kernel's life, and keeps the counters of every page. */
function replay(guest: TestGuest, name: string): { counters: Map<number, number[]>; sent: Set<number> } {
  const file = new URL(`../../../vectors/counters/${name}.json.gz`, import.meta.url);
  const [life = []] = JSON.parse(gunzipSync(readFileSync(file)).toString('utf8')) as Call[][];
  const counters = new Map<number, number[]>();
  const sent = new Set<number>();
  for (const call of life) {
    count(counters, call);
    if (call.pageList === null) continue;
    const ranges = [...call.pageList]
      .reverse()
      .flat()
      .map(([pa, epa, permissions]) =>
        range(
          Number.parseInt(pa, 16) / 4096,
          Number.parseInt(epa, 16) / 4096,
          Number.parseInt(permissions, 16),
        ),
      );
    guest.protect(ranges, 0x10000 - 0x40);
    if (call.cmd === 'protect') {
      for (const { start, end } of ranges) for (let gfn: number = start; gfn < end; gfn++) sent.add(gfn);
    }
  }
  return { counters, sent };
}

/** Frames that protect sent, by effective rights, wanted rights and immutability. */
function end(guest: TestGuest, counters: Map<number, number[]>, sent: Set<number>): Record<string, number> {
  const frames: Record<string, number> = {};
  for (const gfn of sent) {
    const got = guest.vm.effectiveRights(gfn as Gfn);
    const [read = 0, write = 0, execute = 0] = counters.get(gfn) ?? [];
    const any = read !== 0 || write !== 0 || execute !== 0;
    const immutable = (guest.vm.attributes.get(gfn as Gfn) & 0x80) !== 0;
    const text = (w: boolean, x: boolean): string => `r${w ? 'w' : '-'}${x ? 'x' : '-'}`;
    const key =
      `${text(got?.write ?? false, got?.supervisorExecute ?? false)} ` +
      `${text(write !== 0 || !any, execute !== 0)}${immutable ? ' immutable' : ''}`;
    frames[key] = (frames[key] ?? 0) + 1;
  }
  return frames;
}

test('rfc-v2: a real kernel ends with module text writable and module rodata never read-only', () => {
  const guest = createGuest({ profile: 'rfc-v2', guestFrames: 0x1_0000, deaf: true });
  const { counters, sent } = replay(guest, 'real-6.1-256m');
  expect(guest.vm.statistics.hypercalls.get(14)).toBe(8426);
  expect(guest.vm.statistics.ranges).toEqual({ sent: 8503, applied: 221, dropped: 8134, refused: 148 });
  expect(end(guest, counters, sent)).toEqual({
    'r-- r-- immutable': 2088,
    'r-x r-x immutable': 4098,
    'r-x r-x': 122,
    'rwx r-x': 150,
    'rw- r--': 139,
    'rw- rw-': 58887,
    'rwx rw-': 3,
    'rwx rwx': 17,
  });
});

test('hardened: the same kernel ends with every mutable page as it wants it', () => {
  const guest = createGuest({ guestFrames: 0x1_0000, deaf: true });
  const { counters, sent } = replay(guest, 'real-6.1-256m');
  expect(guest.vm.statistics.ranges).toEqual({ sent: 8503, applied: 8355, dropped: 0, refused: 148 });
  expect(end(guest, counters, sent)).toEqual({
    'r-- r-- immutable': 2088,
    'r-x r-x immutable': 4098,
    'r-x r-x': 272,
    'r-- r--': 139,
    'rw- rw-': 58890,
    'rwx rwx': 17,
  });
});

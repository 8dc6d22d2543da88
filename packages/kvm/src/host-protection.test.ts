import type { Gfn } from '@heki/physical-memory';
import { expect, test } from 'vitest';
import { createGuest, kernelVa } from './testing/guest.ts';

const DATA = { read: true, write: true, supervisorExecute: false, userExecute: true };

test('the host can protect memory by itself, and hears what was weakened and what was refused', () => {
  const guest = createGuest();
  const range = { start: 0x200 as Gfn, end: 0x210 as Gfn, rights: DATA };
  expect(guest.vm.protect([{ ...range, immutable: true }])).toEqual({ applied: 1, weakened: [] });
  expect(guest.cpu.fetch(kernelVa(0x20_0000))).toMatchObject({ vector: 14, errorCode: 0x11 });
  expect(guest.vm.protect([range])).toEqual({
    applied: 0,
    weakened: [],
    refused: { at: 0, why: 'immutable' },
  });

  const nothing = {
    ...range,
    start: 0x300 as Gfn,
    end: 0x301 as Gfn,
    rights: { ...DATA, userExecute: false },
  };
  expect(guest.vm.protect([nothing])).toEqual({
    applied: 1,
    weakened: [{ range: nothing, granted: DATA }],
  });
  expect(guest.vm.statistics.ranges).toEqual({ sent: 3, applied: 2, dropped: 0, refused: 1 });
});

test('whoever listens hears of what was weakened too', () => {
  const guest = createGuest();
  const range = { start: 0x300 as Gfn, end: 0x301 as Gfn, rights: { ...DATA, userExecute: false } };
  const result = guest.vm.protect([range]);
  expect(result.weakened).toEqual([{ range, granted: DATA }]);
  expect(guest.events.filter(({ type }) => type === 'protected')).toEqual([
    { type: 'protected', by: 'vmm', result },
  ]);
});

test('without MBEC the host hears that the kernel can still execute', () => {
  const guest = createGuest({ mbec: false });
  const range = { start: 0x200 as Gfn, end: 0x210 as Gfn, rights: DATA };
  expect(guest.vm.protect([range]).weakened).toEqual([
    { range, granted: { ...DATA, supervisorExecute: true } },
  ]);
});

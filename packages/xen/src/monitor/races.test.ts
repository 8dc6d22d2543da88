import { XenHekiRequest } from '@heki/hypercall/xen';
import { VcpuWaits, type YieldPoint } from '@heki/hypervisor';
import type { Gfn } from '@heki/physical-memory';
import { expect, test } from 'vitest';
import { askMonitor, requestRanges } from '../testing/ask.ts';
import { createGuest, kernelVa } from '../testing/guest.ts';

const PAGE = 0x200;
const LIST = 0x3000;
const READ_ONLY = { read: true, write: false, supervisorExecute: false, userExecute: false };

/** A guest that asks for a page to be read-only, and at each moment of it `turn` on the second virtual CPU. */
function ask(turn: (guest: ReturnType<typeof createGuest>, at: YieldPoint) => void) {
  const points: YieldPoint[] = [];
  const guest = createGuest({}, 0x400, (at) => {
    points.push(at);
    turn(guest, at);
  });
  const other = guest.addCpu();
  // A translation that is there before.
  expect(other.store(kernelVa(PAGE * 4096), 8, 1n).kind).toBe('done');
  const range = { start: PAGE as Gfn, end: (PAGE + 1) as Gfn, rights: READ_ONLY };
  expect(requestRanges(guest.cpu, guest.memory, LIST, [range])).toBe(0);
  return { guest, other, points };
}

test('a request yields after what it reads, before rights change, before the flush, after each virtual CPU has forgotten, and before the guest goes on', () => {
  const { points } = ask(() => {});
  expect(points).toEqual(['guest-read', 'attribute-change', 'zap', 'flush', 'flush', 'resume']);
});

test('whatever another processor touches at any of these moments, once the request is answered it stores no more', () => {
  const stored: YieldPoint[] = [];
  const { other } = ask(({ vm }, at) => {
    try {
      if (vm.vcpus[1]?.store(kernelVa(PAGE * 4096), 8, 2n).kind === 'done') stored.push(at);
    } catch (stop) {
      expect(stop).toBeInstanceOf(VcpuWaits);
    }
  });
  // Its own translation goes with the second flush.
  expect(stored).toEqual(['guest-read', 'attribute-change', 'zap', 'flush']);
  expect(other.store(kernelVa(PAGE * 4096), 8, 3n).kind).not.toBe('done');
});

test('the monitor answers one virtual CPU at a time: another waits', () => {
  const waits: unknown[] = [];
  ask(({ vm }) => {
    const [, second] = vm.vcpus;
    if (second === undefined || waits.length > 0) return;
    try {
      askMonitor(second, XenHekiRequest.VERSION);
    } catch (stop) {
      waits.push(stop);
    }
  });
  expect(waits[0]).toBeInstanceOf(VcpuWaits);
});

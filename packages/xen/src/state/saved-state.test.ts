import { XenAccess } from '@heki/hypercall/xen';
import { type ProtectionState, type Rights, VcpuWaits } from '@heki/hypervisor';
import type { Gfn, Pfn } from '@heki/physical-memory';
import { expect, test } from 'vitest';
import { createGuest, kernelVa } from '../testing/guest.ts';
import type { XenOwnState } from './own-state.ts';

const READ_ONLY: Rights = { read: true, write: false, supervisorExecute: true, userExecute: true };
const range = (start: number, end: number, immutable = false) => ({
  start: start as Gfn,
  end: end as Gfn,
  rights: READ_ONLY,
  immutable,
});
type Guest = ReturnType<typeof createGuest>;
const saved = (guest: Guest): ProtectionState => {
  const state = guest.vm.save();
  if (state === undefined) throw new Error('nothing was saved');
  return state;
};

test('immutable frames in a hole are so for memory that is put there after restore', () => {
  const guest = createGuest();
  const behind = { start: 0x4010 as Gfn, frames: 0x10, backing: 0x10_0000 as Pfn };
  guest.vm.addMemory(behind);
  guest.vm.protect([range(0x3ff0, 0x4020, true)]);
  const state = saved(guest);
  const other = createGuest();
  other.vm.addMemory(behind);
  expect(other.vm.restore(state)).toBe(true);
  expect(other.vm.save()).toEqual(state);
});

test('nothing is saved while a virtual CPU waits for the monitor, or an event is on its way', () => {
  const guest = createGuest({ monitor: 'by-hand' });
  guest.vm.protect([range(0x200, 0x201)]);
  expect(guest.vm.save()).toBeDefined();
  expect(guest.cpu.store(kernelVa(0x20_0000), 8, 1n)).toMatchObject({ kind: 'livelock' });
  expect(guest.vm.save()).toBeUndefined();
  guest.vm.runMonitor();
  expect(guest.cpu.store(kernelVa(0x20_0000), 8, 1n)).toMatchObject({ vector: 14 });
  expect(guest.vm.save()).toBeDefined();
  guest.vm.views.setAccess(0, 0x300 as Gfn, 0x301 as Gfn, XenAccess.N2RWX);
  expect(guest.cpu.load(kernelVa(0x30_0000), 8)).toMatchObject({ kind: 'done' });
  expect(guest.vm.save()).toBeUndefined();
});

test('nothing is saved in the middle of a request, and what replaces everything waits', () => {
  const state = saved(createGuest());
  const states: unknown[] = [];
  const waits: unknown[] = [];
  let asks = false;
  const guest = createGuest({}, undefined, () => {
    if (!asks) return;
    states.push(guest.vm.save());
    for (const replace of [
      () => guest.vm.restore(state),
      () => guest.vm.lifeCycle({ kind: 'reset' }),
      () => guest.vm.lifeCycle({ kind: 'kexec' }),
    ]) {
      try {
        replace();
      } catch (stop) {
        waits.push(stop);
      }
    }
  });
  asks = true;
  guest.vm.protect([range(0x200, 0x201), range(0x300, 0x301)]);
  asks = false;
  expect(new Set(states)).toEqual(new Set([undefined]));
  expect(waits).toHaveLength(3 * states.length);
  expect(waits.every((stop) => stop instanceof VcpuWaits)).toBe(true);
  expect(guest.vm.save()?.ranges).toHaveLength(2);
});

test('nothing is saved while an access is let through once, or the domain is going down', () => {
  const once = createGuest({ memoryVerdict: 'allow-once' });
  once.vm.protect([range(0x200, 0x201)]);
  expect(once.cpu.store(kernelVa(0x20_0000), 8, 1n)).toMatchObject({ kind: 'done' });
  expect(once.vm.save()).toBeUndefined();
  const ended = createGuest({ memoryVerdict: 'stop' });
  ended.vm.protect([range(0x200, 0x201)]);
  expect(ended.cpu.store(kernelVa(0x20_0000), 8, 1n)).toMatchObject({ kind: 'stopped' });
  expect(ended.vm.save()).toBeUndefined();
});

test('where no host frame is left for the tables of a state, nothing has changed', () => {
  const guest = createGuest();
  guest.vm.protect([range(0x200, 0x201), range(0x800, 0x801), range(0xc00, 0xc01), range(0x1000, 0x1001)]);
  const state = saved(guest);
  for (const tables of [4, 5, 6]) {
    const other = createGuest({}, tables);
    other.vm.protect([range(0x600, 0x601, true)]);
    const before = other.vm.save();
    expect(() => other.vm.restore(state)).toThrow(
      'no host frame is left for the p2m tables of a saved state',
    );
    expect(other.vm.save()).toEqual(before);
    expect(other.cpu.store(kernelVa(0x60_0000), 8, 1n)).toMatchObject({ vector: 14 });
    expect(other.cpu.store(kernelVa(0x20_0000), 8, 1n)).toMatchObject({ kind: 'done' });
  }
});

test.each<[string, Partial<XenOwnState>, string]>([
  ['a type that cannot be', { defaultAccess: 11 as never }, 'own.defaultAccess: 11'],
  ['a type that EPT cannot hold', { defaultAccess: XenAccess.W }, 'own.defaultAccess: 2'],
  [
    'a view that is the host p2m',
    { views: [{ index: 0, defaultAccess: XenAccess.R, types: [] }] },
    'own.views[0].index: 0',
  ],
  [
    'a view twice',
    { views: [1, 1].map((index) => ({ index, defaultAccess: XenAccess.R, types: [] })) },
    'own.views[1].index: 1: expected each view once',
  ],
  ['a virtual CPU in no view', { current: [{ vcpu: 0, view: 3 }] }, 'own.current[0].view: 3'],
  ['a virtual CPU that is not there', { current: [{ vcpu: 9, view: 1 }] }, 'own.current[0].vcpu: 9'],
  ['immutable frames out of order', { immutable: [range(5, 6), range(3, 4)] }, 'own.immutable[1].start: 3'],
])("%s in Xen's own state is refused", (_what, part, message) => {
  const guest = createGuest();
  guest.vm.protect([range(0x200, 0x201)]);
  const state = saved(guest);
  expect(() => guest.vm.restore({ ...state, own: { ...state.own, ...part } as XenOwnState })).toThrow(
    message,
  );
  expect(guest.vm.save()).toEqual(state);
});

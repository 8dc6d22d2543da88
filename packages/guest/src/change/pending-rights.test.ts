import { MEM_ATTR_EXEC, MEM_ATTR_READ, MEM_ATTR_WRITE } from '@heki/hypercall/kvm';
import type { Gfn } from '@heki/physical-memory';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { PendingRights } from './pending-rights.ts';

const R = MEM_ATTR_READ;
const RW = MEM_ATTR_READ | MEM_ATTR_WRITE;
const RX = MEM_ATTR_READ | MEM_ATTR_EXEC;
const RWX = RW | MEM_ATTR_EXEC;
const at = (frame: number): Gfn => frame as Gfn;

/** A hypervisor that has what it was told last, frame by frame. */
function listener(before: number) {
  const told = new Map<number, number>();
  const calls: (readonly [number, number, number, number])[] = [];
  return {
    calls,
    has: (frame: number) => told.get(frame) ?? before,
    sink: {
      add(start: Gfn, end: Gfn, permissions: number, enforced: number) {
        calls.push([start, end, permissions, enforced]);
        for (let frame: number = start; frame < end; frame++) told.set(frame, permissions);
      },
    },
  };
}

test('before a change is in force pages lose, and gain nothing', () => {
  const pending = new PendingRights();
  const hypervisor = listener(RX);
  pending.narrow(hypervisor.sink).add(at(0x10), at(0x14), RW, RX);
  expect(hypervisor.calls).toEqual([[0x10, 0x14, R, RX]]);
  expect(pending.frames()).toEqual([{ start: 0x10, end: 0x14, value: R }]);
  pending.widen(hypervisor.sink).add(at(0x10), at(0x14), RW, 0);
  expect(hypervisor.calls.slice(1)).toEqual([[0x10, 0x14, RW, R]]);
  expect(pending.isEmpty).toBe(true);
});

test('a page that only gains is not named before, and one that gets back what it had is not named at all', () => {
  const pending = new PendingRights();
  const hypervisor = listener(R);
  pending.narrow(hypervisor.sink).add(at(1), at(2), RW, R);
  expect(hypervisor.calls).toEqual([]);
  expect(pending.isEmpty).toBe(false);
  pending.narrow(hypervisor.sink).add(at(1), at(2), R, RW);
  expect(hypervisor.calls).toEqual([]);
  expect(pending.isEmpty).toBe(true);
});

test('what is refused is undone in reverse: the frames wait for what they waited for before', () => {
  const pending = new PendingRights();
  const { sink } = listener(R);
  pending.narrow(sink).add(at(0), at(8), RWX, R);
  pending.commit();
  // Twice over the same frames in one call: only the first record knows what there was.
  pending.widen(sink).add(at(2), at(6), RW, 0);
  pending.narrow(sink).add(at(3), at(5), RWX, RW);
  pending.rollBack();
  expect(pending.frames()).toEqual([{ start: 0, end: 8, value: R }]);
  // A second refusal has nothing left to undo.
  pending.rollBack();
  expect(pending.frames()).toEqual([{ start: 0, end: 8, value: R }]);
});

test('the frames that wait can be granted one after the other', () => {
  const pending = new PendingRights();
  const { sink } = listener(R);
  for (const frame of [1, 3, 5]) pending.narrow(sink).add(at(frame), at(frame + 1), RW, R);
  for (const { start, end } of pending.frames()) pending.widen(sink).add(start, end, RW, 0);
  expect(pending.isEmpty).toBe(true);
});

test('the hypervisor never has a right that a page is to lose, and has all of them once every change is in force', () => {
  const change = fc.record({
    start: fc.nat(12),
    length: fc.integer({ min: 1, max: 6 }),
    to: fc.constantFrom(R, RW, RX, RWX),
    inForce: fc.boolean(),
    refused: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(change, { maxLength: 12 }), (changes) => {
      const pending = new PendingRights();
      const hypervisor = listener(RW);
      const wanted = new Array<number>(20).fill(RW);
      for (const { start, length, to, inForce, refused } of changes) {
        const before = [...pending.frames()];
        const asked: Parameters<typeof hypervisor.sink.add>[] = [];
        const sink = pending.narrow({ add: (...call) => void asked.push(call) });
        for (let frame = start; frame < start + length; frame++) {
          const old = wanted[frame] ?? 0;
          if (to !== old) sink.add(at(frame), at(frame + 1), to, old);
        }
        if (refused) {
          pending.rollBack();
          expect(pending.frames()).toEqual(before);
          continue;
        }
        pending.commit();
        for (const call of asked) hypervisor.sink.add(...call);
        wanted.fill(to, start, start + length);
        for (const [frame, rights] of wanted.entries()) expect(hypervisor.has(frame) & ~rights).toBe(0);
        if (!inForce) continue;
        const widening = pending.widen(hypervisor.sink);
        for (const range of pending.frames()) {
          for (let frame: number = range.start; frame < range.end; frame++) {
            widening.add(at(frame), at(frame + 1), wanted[frame] ?? 0, 0);
          }
        }
        pending.commit();
        expect(wanted.map((_, frame) => hypervisor.has(frame))).toEqual(wanted);
      }
    }),
  );
});

import { VcpuWaits, type YieldPoint } from '@heki/hypervisor';
import type { Gfn, Gpa, Pfn } from '@heki/physical-memory';
import type { Vcpu } from '@heki/vcpu';
import { describe, expect, test } from 'vitest';
import type { KvmRaces } from '../options.ts';
import { createGuest, kernelVa, range, type TestGuest, type TestGuestOptions } from '../testing/guest.ts';

const [R, RW, RX] = [1, 3, 5];
const AT = 0x20_0000;
const FRAME = AT / 4096;
/** Where a second slot shows the memory of {@link AT}. */
const ALIAS = 0x500_0000;

/** A guest of two virtual CPUs, the second of which does `turn` at the moments in `turns`, counted from 0. */
function racing(
  turn: (second: Vcpu) => void,
  turns: (moment: number) => boolean,
  options: TestGuestOptions = {},
): {
  readonly guest: TestGuest;
  readonly second: Vcpu;
  readonly points: readonly YieldPoint[];
  during<Result>(body: () => Result): Result;
} {
  const points: YieldPoint[] = [];
  let taken = true;
  const guest = createGuest({
    ...options,
    onYield(at) {
      if (taken) return;
      points.push(at);
      if (!turns(points.length - 1)) return;
      taken = true;
      try {
        turn(second);
      } catch (stop) {
        if (!(stop instanceof VcpuWaits)) throw stop;
      } finally {
        taken = false;
      }
    },
  });
  const second = guest.addCpu();
  return {
    guest,
    second,
    points,
    during(body) {
      taken = false;
      const result = body();
      taken = true;
      return result;
    },
  };
}

test('a request yields where it reads its list, before each attribute, after each zap and flush, and before the guest goes on', () => {
  const { guest, points, during } = racing(
    () => {},
    () => false,
  );
  guest.cpu.store(kernelVa(AT), 1, 1n);
  expect(during(() => guest.protect([range(FRAME, FRAME + 1, R)]))).toBe(0);
  expect(points.slice(0, 6)).toEqual([
    'guest-read',
    'guest-read',
    'zap',
    'flush',
    'flush',
    'attribute-change',
  ]);
  expect(points.at(-1)).toBe('resume');
});

// kvm_mmu_notifier_invalidate_range_start(): the page may be another one since.
test('a fault that was judged before the host took the leaves away maps nothing, and is tried again', () => {
  let faults = 0;
  const taken: (boolean | undefined)[] = [];
  const guest = createGuest({
    onYield(at, fault) {
      if (at !== 'fault' || faults++ > 0) return;
      guest.vm.invalidate(FRAME as Gfn, (FRAME + 1) as Gfn);
      taken.push(fault?.stale);
    },
  });
  expect(guest.cpu.load(kernelVa(AT), 1).kind).toBe('done');
  expect([taken, faults > 1]).toEqual([[true], true]);
});

test('a fault yields between what was looked at and what is mapped', () => {
  const { guest, points, during } = racing(
    () => {},
    () => false,
  );
  during(() => guest.cpu.load(kernelVa(AT), 1));
  expect(points).toContain('fault');
});

test('a processor that needs a lock of the request waits, without effect, and can go on afterwards', () => {
  const waits: boolean[] = [];
  const { guest, second, points, during } = racing(
    (cpu) => {
      try {
        cpu.load(kernelVa(AT), 1);
        waits.push(false);
      } catch (stop) {
        waits.push(stop instanceof VcpuWaits);
      }
    },
    // Not before the zap, or its translation would be cached.
    (moment) => moment >= 2,
  );
  guest.cpu.load(kernelVa(AT), 1);
  expect(during(() => guest.protect([range(FRAME, FRAME + 1, R)]))).toBe(0);
  expect([points[2], waits[0]]).toEqual(['zap', true]);
  expect(waits.at(-1)).toBe(false);
  expect(second.load(kernelVa(AT), 1).kind).toBe('done');
  expect(guest.vm.locksHeld).toEqual([]);
});

/** Each way in which the second virtual CPU can come upon the page before and during a request. */
const TOUCHES = {
  load: (cpu: Vcpu) => void cpu.load(kernelVa(AT), 1),
  store: (cpu: Vcpu) => void cpu.store(kernelVa(AT + 64), 1, 1n),
  'store by another name': (cpu: Vcpu) => void cpu.store(kernelVa(ALIAS + 64), 1, 1n),
} as const;

/**
 * Asks for less of a page while the second virtual CPU touches it at one moment, or from one on, for each of them. The moments after which it could
 * still store when the request was answered.
 */
function holes(races: Partial<KvmRaces>, touch: (cpu: Vcpu) => void, cached: boolean): string[] {
  const found: string[] = [];
  let moments = 1;
  for (const onwards of [false, true]) {
    for (let from = 0; from < moments; from++) {
      const { guest, second, points, during } = racing(touch, (at) => (onwards ? at >= from : at === from), {
        races,
      });
      guest.vm.addMemory({ start: (ALIAS / 4096) as Gfn, frames: 0x10, backing: (0x10_0000 + FRAME) as Pfn });
      expect(guest.protect([range(FRAME, FRAME + 1, RW)])).toBe(0);
      if (cached) touch(second);
      expect(during(() => guest.protect([range(FRAME, FRAME + 1, RX)]))).toBe(0);
      moments = Math.max(moments, points.length);
      const before = guest.vm.effectiveRights(FRAME as Gfn)?.write;
      for (const address of [AT, ALIAS]) {
        if (second.store(kernelVa(address), 1, 0x5an).kind === 'done')
          found.push(`${points[from]} ${from}: store`);
      }
      if (before === true) found.push(`${points[from]} ${from}: leaf`);
    }
  }
  return found;
}

describe.each(Object.entries(TOUCHES))(
  'when another processor comes upon the page with a %s',
  (_name, touch) => {
    test.each([true, false])(
      'at no moment does it keep what a request took away (cached before: %j)',
      (cached) => {
        expect(holes({}, touch, cached)).toEqual([]);
      },
    );
  },
);

test('a fault that is mapped in the middle of a change is found, where nothing tells it that it is stale', () => {
  expect(holes({ staleFaults: true }, TOUCHES.store, false).length).toBeGreaterThan(0);
});

test('a processor that is not told to forget is found', () => {
  expect(holes({ localFlush: true }, TOUCHES.store, true).length).toBeGreaterThan(0);
});

test('what the hypervisor stores for the guest was looked at in the same step: no request comes between', () => {
  let answer: number | undefined;
  const { guest, second, during } = racing(
    (cpu) => {
      cpu.registers.rax = 14n;
      cpu.registers.rbx = 0n;
      cpu.vmcall();
      answer = Number(BigInt.asIntN(64, cpu.registers.rax));
    },
    () => true,
  );
  expect(during(() => guest.vm.write('hypervisor', AT as Gpa, Uint8Array.of(1)))).toEqual({ ok: true });
  expect(answer).toBeUndefined();
  expect(second.load(kernelVa(AT), 1)).toMatchObject({ value: 1n });
});

test('INIT and reset of a virtual CPU wait for the answer to its exit, and come before the guest goes on', () => {
  for (const event of [{ kind: 'init', vcpu: 0 }, { kind: 'reset' }] as const) {
    const waits: boolean[] = [];
    const { guest, second, during } = racing(
      () => {
        try {
          guest.vm.lifeCycle(event);
          waits.push(false);
        } catch (stop) {
          waits.push(stop instanceof VcpuWaits);
        }
      },
      () => true,
    );
    const { rip } = guest.cpu.registers;
    expect(during(() => guest.protect([range(FRAME, FRAME + 1, R)]))).toBe(0);
    expect(waits.length).toBeGreaterThan(3);
    expect(waits.every(Boolean)).toBe(true);
    expect(guest.cpu.registers.rip).toBe(rip + 3n);
    // Another one is not kept from it.
    if (event.kind === 'init') guest.vm.lifeCycle({ kind: 'init', vcpu: second.id });
    guest.vm.lifeCycle(event);
    expect(guest.cpu.registers.rip).toBe(0xffff_fff0n);
  }
});

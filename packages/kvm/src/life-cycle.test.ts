import type { Gfn } from '@heki/physical-memory';
import { CR0, CR4 } from '@heki/x86';
import { expect, test } from 'vitest';
import { createGuest, kernelVa, range, type TestGuest } from './testing/guest.ts';

const R = 1;
const RW = 3;
const RX = 5;
const IMMUTABLE = 8;

function protectedGuest(options: Parameters<typeof createGuest>[0] = {}): TestGuest {
  const guest = createGuest(options);
  guest.hypercall(13, 0, CR0.WP);
  guest.hypercall(13, 4, CR4.SMEP);
  guest.protect([range(0x1000, 0x1200, RX | IMMUTABLE), range(0x1200, 0x1280, R), range(0x1280, 0x1400, RW)]);
  return guest;
}

test('a saved machine is protected again after it was restored elsewhere', () => {
  const state = protectedGuest().vm.save();
  expect(state?.ranges.map(({ start, end, immutable }) => [start, end, immutable])).toEqual([
    [0x1000, 0x1200, true],
    [0x1200, 0x1280, false],
    [0x1280, 0x1400, false],
  ]);
  const copy = createGuest();
  copy.cpu.store(kernelVa(0x100_0000), 8, 1n);
  expect(state !== undefined && copy.vm.restore(state)).toBe(true);
  expect(copy.vm.save()).toEqual(state);
  expect(copy.cpu.store(kernelVa(0x100_0000), 8, 1n)).toMatchObject({ vector: 14, errorCode: 3 });
  expect(copy.cpu.store(kernelVa(0x120_0000), 8, 1n)).toMatchObject({ vector: 14, errorCode: 3 });
  expect(copy.cpu.fetch(kernelVa(0x200_0000))).toMatchObject({ vector: 14, errorCode: 0x11 });
  expect(copy.cpu.movToCr(4, copy.cpu.registers.cr4 & ~CR4.SMEP)).toMatchObject({ vector: 13 });
  expect(copy.protect([range(0x1000, 0x1001, RW)])).toBe(-1);
});

test('reset clears protection for the next kernel, unless the VMM keeps it', () => {
  for (const reset of ['clear', 'keep'] as const) {
    const { vm } = protectedGuest({ lifeCycle: { reset } });
    vm.lifeCycle({ kind: 'reset' });
    expect(vm.effectiveRights(0x1000 as Gfn)).toMatchObject({
      write: reset === 'clear',
      supervisorExecute: true,
    });
    expect(vm.effectiveRights(0x2000 as Gfn)).toMatchObject({ supervisorExecute: reset === 'clear' });
    expect(vm.pins.cr4).toBe(reset === 'clear' ? 0n : CR4.SMEP);
    expect(vm.vcpus[0]?.registers.cr0).toBe(0x6000_0010n);
  }
});

test('kexec keeps protection, unless the VMM trusts the kernel that asks', () => {
  for (const kexec of ['keep', 'clear'] as const) {
    const { vm, cpu } = protectedGuest({ lifeCycle: { kexec } });
    vm.lifeCycle({ kind: 'kexec' });
    expect(cpu.store(kernelVa(0x100_0000), 8, 1n)).toMatchObject(
      kexec === 'keep' ? { vector: 14, errorCode: 3 } : { kind: 'done' },
    );
  }
});

test('rfc-v2: the VMM cannot read, set or clear what is enforced', () => {
  const state = protectedGuest().vm.save();
  const { vm } = protectedGuest({ profile: 'rfc-v2' });
  expect(vm.save()).toBeUndefined();
  expect(state !== undefined && vm.restore(state)).toBe(false);
  const request = { address: 0x100_0000n, size: 0x1000n, attributes: 0xf0n, flags: 0n };
  expect(vm.ioctls.setMemoryAttributes(request)).toBe(-22);
  vm.lifeCycle({ kind: 'kexec' });
  expect(vm.effectiveRights(0x1000 as Gfn)?.write).toBe(false);
});

test('attributes outlive the memslot over them', () => {
  const { vm } = protectedGuest();
  const [slot] = vm.slots;
  vm.removeMemory(0 as Gfn);
  expect(vm.effectiveRights(0x1000 as Gfn)).toBeUndefined();
  vm.addMemory({ start: 0 as Gfn, frames: 0x4000, backing: slot?.backing ?? (0 as never) });
  expect(vm.effectiveRights(0x1000 as Gfn)).toMatchObject({ write: false });
  expect(vm.effectiveRights(0x1200 as Gfn)).toMatchObject({ write: false, supervisorExecute: false });
});

test('INIT of a virtual CPU that is not there is an error', () => {
  expect(() => createGuest().vm.lifeCycle({ kind: 'init', vcpu: 5 })).toThrow(
    'no virtual CPU 5: expected 0 to 0',
  );
});

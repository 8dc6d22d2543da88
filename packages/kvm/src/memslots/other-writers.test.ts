import type { Gpa } from '@heki/physical-memory';
import { expect, test } from 'vitest';
import { createGuest, kernelVa, range } from '../testing/guest.ts';

const BYTES = Uint8Array.of(1, 2, 3, 4);

test('VMM and DMA stores pass unless their own mechanism is there', () => {
  for (const [options, vmm, dma] of [
    [{}, true, true],
    [{ hostMappingProtection: true }, false, true],
    [{ iommu: true }, true, false],
  ] as const) {
    const guest = createGuest(options);
    guest.protect([range(0x200, 0x201, 1)]);
    expect(guest.vm.write('vmm', 0x20_0000 as Gpa, BYTES).ok).toBe(vmm);
    expect(guest.vm.write('dma', 0x20_0000 as Gpa, BYTES).ok).toBe(dma);
    expect(guest.vm.write('hypervisor', 0x20_0000 as Gpa, BYTES)).toEqual({
      ok: false,
      why: 'denied',
      at: 0x20_0000,
    });
  }
});

test('a store that reaches a protected or absent page anywhere stores nothing', () => {
  const guest = createGuest();
  guest.protect([range(0x201, 0x202, 1)]);
  expect(guest.vm.write('hypervisor', 0x20_0ffe as Gpa, BYTES)).toEqual({
    ok: false,
    why: 'denied',
    at: 0x20_1000,
  });
  expect(guest.vm.write('dma', 0x3ff_fffe as Gpa, BYTES)).toEqual({
    ok: false,
    why: 'not-memory',
    at: 0x400_0000,
  });
  expect(guest.cpu.load(kernelVa(0x20_0ff8), 8)).toMatchObject({ value: 0n });
  expect(guest.vm.write('dma', (2 ** 52 - 2) as Gpa, BYTES)).toMatchObject({ ok: false, why: 'not-memory' });
  expect(guest.vm.write('dma', 0 as Gpa, new Uint8Array())).toEqual({ ok: true });
});

test('hypercall 9 stores a clock pairing, refuses other clocks and addresses that are not memory', () => {
  const guest = createGuest();
  expect(guest.hypercall(9, 0x20_0000, 0)).toBe(0);
  expect(guest.hypercall(9, 0x20_0000, 1)).toBe(-95);
  expect(guest.hypercall(9, 1n << 60n, 0)).toBe(-14);
  expect(guest.hypercall(9, 0x7000_0000, 0)).toBe(-14);
});

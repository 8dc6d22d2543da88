import type { Gfn, Gpa } from '@heki/physical-memory';
import { AMD_ZEN4, CR0, CR4, INTEL_VT_RP } from '@heki/x86';
import { expect, test } from 'vitest';
import { createGuest, kernelVa, poke, range, type TestGuestOptions } from './testing/guest.ts';

/** A bit of everything that is told to who listens, and how each of it ended. */
function life(options: TestGuestOptions): unknown[] {
  const guest = createGuest(options);
  const { cpu, vm } = guest;
  const backing = vm.slots[0]?.backing ?? 0;
  const region = {
    slot: 0,
    guestPhysicalAddress: 0n,
    memorySize: 0x400_0000n,
    userspaceAddress: BigInt(backing) << 12n,
  };
  poke(guest, 0x60_1000, [0n, 1n << 20n]);
  return [
    cpu.store(kernelVa(0x20_0000), 8, 1n),
    guest.protect([range(0x200, 0x201, 1), range(0x201, 0x300, 3), range(0x400, 0x401, 13)]),
    guest.protect([range(0x400, 0x401, 3)]),
    guest.protect([range(0x200, 0x1ff, 3)]),
    guest.hypercall(14, 0x60_1000),
    guest.hypercall(14, 0x1234_0000_0000),
    guest.hypercall(13, 4, CR4.SMEP),
    guest.hypercall(13, 0, CR0.WP),
    guest.hypercall(77),
    cpu.movToCr(4, cpu.registers.cr4 & ~CR4.SMEP),
    cpu.movToCr(0, cpu.registers.cr0 & ~CR0.WP),
    cpu.store(kernelVa(0x20_0000), 8, 2n),
    cpu.fetch(kernelVa(0x20_1000)),
    cpu.load(kernelVa(0x20_0000), 8),
    cpu.load(kernelVa(0x500_0000), 8),
    cpu.vmx('vmread'),
    vm.write('dma', 0x20_0000 as Gpa, Uint8Array.of(1)),
    vm.write('hypervisor', 0x20_0000 as Gpa, Uint8Array.of(1)),
    vm.emulateStore(cpu, 0x20_0000 as Gpa, Uint8Array.of(1)),
    vm.emulateMovToCr(cpu, 4, 0n),
    vm.protect([
      {
        start: 0x500 as Gfn,
        end: 0x501 as Gfn,
        rights: { read: true, write: false, supervisorExecute: false, userExecute: true },
      },
    ]),
    vm.pin({ cr0: CR0.WP, cr4: CR4.SMAP }),
    vm.ioctls.setMemoryAttributes({ address: 0n, size: 0x1000n, attributes: 8n, flags: 0n }),
    vm.ioctls.setUserMemoryRegion({ ...region, flags: 1 }),
    cpu.store(kernelVa(0x30_0000), 8, 1n),
    vm.ioctls.getDirtyLog(0),
    vm.age(0 as Gfn, 0x400 as Gfn),
    cpu.load(kernelVa(0x30_0000), 8),
    vm.invalidate(0 as Gfn, 0x400 as Gfn),
    vm.preFault(0x10 as Gfn, 0x20 as Gfn),
    cpu.init(),
    [0x200, 0x201, 0x300, 0x400].map((gfn) => vm.effectiveRights(gfn as Gfn)),
    vm.statistics,
    vm.leafCounts(),
  ];
}

test.each([
  { profile: 'hardened', processor: INTEL_VT_RP },
  { profile: 'rfc-v2', processor: INTEL_VT_RP },
  { profile: 'hardened', processor: AMD_ZEN4, privateMemory: true },
] as const)('a VM does the same whether or not anybody listens (%#)', (options) => {
  expect(life({ ...options, deaf: true })).toEqual(life(options));
});

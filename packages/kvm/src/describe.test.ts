import { expect, test } from 'vitest';
import { describeEvent } from './describe.ts';
import { createKvm } from './kvm.ts';
import { createGuest, kernelVa, range } from './testing/guest.ts';

test('a trace of a refused store tells the two steps of the injection', () => {
  const guest = createGuest({ abi: 'heki-v2' });
  guest.vm.ioctls.enableCapability(235, 3n);
  guest.hypercall(13, 0, 0x10000);
  guest.cpu.movToCr(0, 0x8000_0033n);
  guest.protect([range(0x200, 0x201, 9)]);
  guest.cpu.load(kernelVa(0x30_0000), 8);
  guest.events.length = 0;
  guest.cpu.store(kernelVa(0x20_0000), 8, 1n);
  expect(guest.events.map(describeEvent)).toEqual([
    'EPT violation at 0x200000, qualification 0x582, error code 0x100000002',
    'mapped gfn 0x200 to pfn 0x100200 with a leaf of 4 KiB: 0x8200000000000d71',
    'EPT violation at 0x200000, qualification 0x5ca, error code 0x100000003',
    'heki: Creating write #PF at 0xffff888000200000 GFN=200',
    'denied: write of guest-physical 0x200000 through 0xffff888000200000, page-fault',
    'injected #PF, error code 0x3, CR2 0xffff888000200000',
  ]);
});

test('every kind of event has a line', () => {
  const guest = createGuest({ profile: 'rfc-v2', mbec: false });
  guest.vm.ioctls.enableCapability(235, 3n);
  guest.hypercall(13, 0, 0x10000);
  guest.cpu.store(kernelVa(0x20_0000), 8, 1n);
  guest.protect([range(0x200, 0x400, 1), range(0x200, 0x201, 8)]);
  guest.protect([range(0x200, 0x201, 1)]);
  guest.hypercall(14, 0x7000_0000_0000);
  expect([...new Set(guest.events.map(({ type }) => type))].sort()).toEqual([
    'ept-violation',
    'flushed',
    'host-leak',
    'hypercall',
    'list-page',
    'log',
    'mapped',
    'pinned',
    'protected',
    'range',
    'user-exit',
    'zapped',
  ]);
  const lines = guest.events.map(describeEvent);
  for (const line of [
    'KVM_RUN returns 39 (heki-configure)',
    'pinned by guest: CR0 0x10000, CR4 0x0',
    'list page at 0x60000: 2 entries',
    'gfns 0x200-0x400 r--: weakened',
    'gfns 0x200-0x201 --- immutable: weakened',
    'protection by guest: 2 applied, 0x200-0x400 weakened to r-xu, 0x200-0x201 weakened to r-xu',
    'protection by guest: 0 applied, refused at 0: immutable',
    'zapped 1 leaf over gfns 0x200-0x400',
    'flushed 1 virtual CPU',
    'hypercall 14 (0x60000, 0x0, 0x0, 0x0) = -KVM_EPERM',
    'hypercall 14 (0x700000000000, 0x0, 0x0, 0x0) = -KVM_EFAULT',
    'host-leak (B-H4): 4096 bytes: the buffer of the list page is never freed',
  ]) {
    expect(lines).toContain(line);
  }
});

test('capabilities follow processor, options and profile', () => {
  expect(createKvm().capabilities).toMatchObject({
    executeSplit: 'supervisor-only',
    immutability: { kind: 'per-page', undoneBy: 'vmm' },
    bypasses: ['dma', 'vmm'],
    failure: 'all-or-nothing',
    saveRestore: true,
  });
  expect(
    createKvm({ profile: 'rfc-v2', mbec: false, iommu: true, hostMappingProtection: true }).capabilities,
  ).toMatchObject({
    executeSplit: 'never-denied',
    immutability: { kind: 'per-page', undoneBy: 'none' },
    bypasses: [],
    failure: 'stops-at-first',
    saveRestore: false,
  });
});

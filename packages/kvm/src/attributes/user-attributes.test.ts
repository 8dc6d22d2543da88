import type { Gfn } from '@heki/physical-memory';
import { expect, test } from 'vitest';
import { createGuest, range } from '../testing/guest.ts';

const PRIVATE = 8n;
const request = { address: 0x20_0000n, size: 0x2000n, attributes: PRIVATE, flags: 0n };

test('user space sets PRIVATE where the VM has private memory, and nothing anywhere else', () => {
  expect(createGuest().vm.ioctls.setMemoryAttributes(request)).toBe(-22);
  const { vm } = createGuest({ privateMemory: true, abi: 'heki-v2' });
  expect(vm.ioctls.checkExtension(232)).toBe(8);
  expect(vm.ioctls.setMemoryAttributes(request)).toBe(0);
  expect([0x1ff, 0x200, 0x201, 0x202].map((gfn) => vm.attributes.get(gfn as Gfn))).toEqual([0, 8, 8, 0]);
  expect(vm.ioctls.setMemoryAttributes({ ...request, attributes: 0n })).toBe(0);
  expect(vm.attributes.extents).toBe(0);
});

test('flags, other attributes, empty, wrapping and unaligned ranges are -EINVAL', () => {
  const { vm } = createGuest({ privateMemory: true });
  for (const wrong of [
    { flags: 1n },
    { attributes: 0x10n },
    { attributes: PRIVATE | 1n },
    { size: 0n },
    { address: (1n << 64n) - 4096n, size: 8192n },
    { address: 0x800n },
    { size: 0x800n },
    { address: 1n << 60n },
    // The last byte of a range may be the last that there is, but its end is not a number of 64 bits then.
    { address: (1n << 64n) - 8192n },
    { address: (1n << 52n) - 4096n },
  ]) {
    expect(vm.ioctls.setMemoryAttributes({ ...request, ...wrong })).toBe(-22);
  }
  expect(vm.attributes.extents).toBe(0);
  expect(vm.ioctls.setMemoryAttributes({ ...request, address: (1n << 52n) - 8192n })).toBe(0);
});

test('PRIVATE and the rights of the guest do not touch each other', () => {
  const guest = createGuest({ privateMemory: true });
  guest.protect([range(0x200, 0x201, 9)]);
  guest.vm.ioctls.setMemoryAttributes(request);
  expect(guest.vm.attributes.get(0x200 as Gfn)).toBe(0x98);
  guest.protect([range(0x201, 0x202, 5)]);
  expect(guest.vm.attributes.get(0x201 as Gfn)).toBe(0x58);
});

test('rfc-v2: an ioctl that changes nothing still makes large leaves cover pages with different rights', () => {
  for (const [profile, write] of [
    ['rfc-v2', true],
    ['hardened', false],
  ] as const) {
    const guest = createGuest({ profile });
    guest.protect([range(0x200, 0x300, 7), range(0x300, 0x400, 1)]);
    guest.vm.ioctls.setMemoryAttributes({ ...request, size: 0x20_0000n, attributes: 0n });
    expect(guest.vm.effectiveRights(0x300 as Gfn)?.write).toBe(write);
  }
});

import type { Gfn, Gpa, Pfn } from '@heki/physical-memory';
import { describe, expect, test } from 'vitest';
import { createGuestOn, kernelVa, range, type TestGuest } from '../testing/guest.ts';
import { createKvmPlanes, type KvmPlanesMachine } from './kvm-planes.ts';

const R = 1;
const AT = 0x20_0000;

const create = (options: Parameters<typeof createKvmPlanes>[0] = {}): TestGuest<KvmPlanesMachine> =>
  createGuestOn(createKvmPlanes(options));

/** Plane 1 of virtual CPU 0, in the guest's address space; a request has made it. */
function upper(guest: TestGuest<KvmPlanesMachine>) {
  expect(guest.protect([range(0x200, 0x201, R)])).toBe(0);
  const [vcpu] = guest.vm.plane1.vcpus;
  if (vcpu === undefined) throw new Error('plane 1 has no virtual CPU');
  Object.assign(vcpu.registers, { cr3: guest.cpu.registers.cr3, cr4: guest.cpu.registers.cr4 });
  return vcpu;
}

describe('planes', () => {
  test('the VMM runs plane 1 for a request of plane 0, and plane 0 again when it is answered', () => {
    const guest = create();
    upper(guest);
    expect(guest.of('plane-switch')).toEqual([
      { type: 'plane-switch', vcpu: 0, to: 1 },
      { type: 'plane-switch', vcpu: 0, to: 0 },
    ]);
    expect(guest.vm.plane1.switches).toBe(2);
    expect(guest.of('user-exit').length).toBe(1);
  });

  test('attributes bind the plane that they are set on', () => {
    const guest = create();
    const vcpu = upper(guest);
    expect(guest.cpu.store(kernelVa(AT), 1, 1n).kind).toBe('exception');
    expect(vcpu.store(kernelVa(AT), 1, 1n).kind).toBe('done');
    const set = { address: BigInt(AT) + 0x1000n, size: 0x1000n, flags: 0n };
    expect(guest.vm.plane1.setMemoryAttributes({ ...set, attributes: 1n << 63n })).toBe(-22);
    // What plane 1 has just set for plane 0.
    const attributes = BigInt(guest.of('attributes-set')[0]?.attributes ?? 0);
    expect(guest.vm.plane1.setMemoryAttributes({ ...set, attributes })).toBe(0);
    expect(guest.cpu.store(kernelVa(AT + 0x1000), 1, 1n).kind).toBe('done');
    expect(vcpu.store(kernelVa(AT + 0x1000), 1, 2n)).not.toMatchObject({ kind: 'done' });
  });

  test('there is one set of slots: what goes from one plane goes from all', () => {
    const guest = create();
    const { vm } = guest;
    const vcpu = upper(guest);
    vm.addMemory({ start: 0x5000 as Gfn, frames: 0x10, backing: 0x10_4000 as Pfn });
    expect(vcpu.store(kernelVa(0x500_0000), 1, 7n).kind).toBe('done');
    expect(guest.cpu.load(kernelVa(0x500_0000), 1)).toMatchObject({ value: 7n });
    vm.removeMemory(0x5000 as Gfn);
    expect(vm.plane1.effectiveRights(0x5000 as Gfn)).toBeUndefined();
    expect(vcpu.load(kernelVa(0x500_0000), 1)).not.toMatchObject({ value: 7n });
  });

  test('what one plane has cached is not used by the other', () => {
    const guest = create();
    const vcpu = upper(guest);
    for (let turn = 0; turn < 2; turn++) {
      expect(vcpu.store(kernelVa(AT), 1, 1n).kind).toBe('done');
      expect(guest.cpu.store(kernelVa(AT), 1, 2n).kind).toBe('exception');
    }
  });

  test('INIT takes one plane of a virtual CPU to its start', () => {
    const guest = create();
    const vcpu = upper(guest);
    const { cr0, cr3 } = vcpu.registers;
    guest.vm.lifeCycle({ kind: 'init', vcpu: 0 });
    expect(guest.cpu.registers.cr3).toBe(0n);
    expect({ cr0: vcpu.registers.cr0, cr3: vcpu.registers.cr3 }).toEqual({ cr0, cr3 });
  });

  test('a device is held to the rights of its own plane', () => {
    const guest = create({ iommu: true });
    upper(guest);
    expect(guest.vm.write('dma', AT as Gpa, Uint8Array.of(1))).toMatchObject({ ok: false, why: 'denied' });
    expect(guest.vm.plane1.writeByDevice(AT as Gpa, Uint8Array.of(1))).toEqual({ ok: true });
  });
});

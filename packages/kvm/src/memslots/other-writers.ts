import type { OtherWriteResult, OtherWriter } from '@heki/hypervisor';
import {
  addressOf,
  frameOf,
  type Gfn,
  type Gpa,
  PHYSICAL_ADDRESS_END,
  writeBytes,
} from '@heki/physical-memory';
import { yieldAt } from '../host/yield.ts';
import type { VmState } from '../vm-state.ts';
import { rightsOf } from './host-frames.ts';
import { MemslotFlag, markDirty } from './memslot.ts';

/**
 * A store to guest memory that no virtual CPU makes. All of these go through the host mapping, which knows no rights (B-H12).
 * KVM's own stores can look at the attributes; the VMM and devices need a mechanism of their own.
 */
export function writeGuest(vm: VmState, writer: OtherWriter, gpa: Gpa, bytes: Uint8Array): OtherWriteResult {
  if (bytes.length === 0) return { ok: true };
  if (gpa + bytes.length > PHYSICAL_ADDRESS_END) return { ok: false, why: 'not-memory', at: gpa };
  if (writer !== 'hypervisor' || vm.defects['B-H12']) return store(vm, writer, gpa, bytes);
  // Or the rights that are looked at could be taken away before the store.
  return vm.locks.with('slots_arch_lock', () => store(vm, writer, gpa, bytes));
}

function store(vm: VmState, writer: OtherWriter, gpa: Gpa, bytes: Uint8Array): OtherWriteResult {
  const bound = isBound(vm, writer);
  const last = frameOf((gpa + bytes.length - 1) as Gpa);
  for (let gfn = frameOf(gpa); gfn <= last; gfn = (gfn + 1) as Gfn) {
    const at = Math.max(gpa, addressOf(gfn)) as Gpa;
    const slot = vm.slots.find(gfn);
    if (slot === undefined || vm.memory.page(gfn) === undefined) return { ok: false, why: 'not-memory', at };
    const readOnlySlot = writer !== 'vmm' && (slot.flags & MemslotFlag.READONLY) !== 0;
    if (readOnlySlot || (bound && !rightsOf(vm, gfn).write)) {
      return { ok: false, why: 'denied', at };
    }
  }
  if (writer === 'hypervisor') yieldAt(vm, 'host-write');
  writeBytes(vm.memory, gpa, bytes);
  if (writer === 'hypervisor') {
    for (let gfn = frameOf(gpa); gfn <= last; gfn = (gfn + 1) as Gfn) {
      const slot = vm.slots.find(gfn);
      if (slot !== undefined) markDirty(slot, gfn);
    }
  }
  return { ok: true };
}

function isBound(vm: VmState, writer: OtherWriter): boolean {
  switch (writer) {
    case 'hypervisor':
      return !vm.defects['B-H12'];
    case 'vmm':
      return vm.options.hostMappingProtection;
    case 'dma':
      return vm.options.iommu;
  }
}

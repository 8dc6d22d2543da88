import type { GuestPlaces, LifeStep } from '@heki/hypervisor/conformance';
import type { Gfn } from '@heki/physical-memory';
import { CR0, CR4 } from '@heki/x86';
import { MemslotFlag } from '../memslots/memslot.ts';
import type { KvmPlanesMachine } from '../planes/kvm-planes.ts';
import { NEGATIVE_ATTRIBUTES } from '../policy/negative-rights.ts';
import type { KvmPolicyMachine } from '../policy/policy-machine.ts';
import type { KvmVirtualMachine } from '../virtual-machine.ts';
import { tablesInKit } from './nested-tables.ts';

/** Where a slot of its own can log what is stored to it: one of 256 frames behind all memory of the kit's guest. */
const SLOT = 7;
const SLOT_START = 0x5_0000;
const SLOT_FRAMES = 0x100;
/** Frames of the guest that back it. */
const BACKING = 0x2000;
/** Where the first slot of the kit's guest ends. */
const FIRST_FRAMES = 0x4_0000n;

/** What can happen to a KVM VM beside what can on any backend: dirty logs, guests inside the guest, the host's housekeeping. */
export function kvmLives({
  vm,
  memory,
  backing,
  scratch,
}: GuestPlaces<KvmVirtualMachine>): readonly LifeStep[] {
  const step = (name: string, run: LifeStep['run']): LifeStep => ({ name, run });
  /** Switches the dirty log of the first slot, which all other steps store to. */
  const logFirst = (flags: number): number =>
    vm.ioctls.setUserMemoryRegion({
      slot: 0,
      flags,
      guestPhysicalAddress: 0n,
      memorySize: FIRST_FRAMES << 12n,
      userspaceAddress: BigInt(backing) << 12n,
    });
  const setSlot = (at: number, flags: number, frames = SLOT_FRAMES): number =>
    vm.ioctls.setUserMemoryRegion({
      slot: SLOT,
      flags,
      guestPhysicalAddress: BigInt(at) << 12n,
      memorySize: BigInt(frames) << 12n,
      userspaceAddress: BigInt(backing + BACKING) << 12n,
    });
  const places: readonly number[] = [SLOT_START, SLOT_START + 0x400];
  return [
    step('log of memory', (_vcpu, below) => String(logFirst(below(2) * MemslotFlag.LOG_DIRTY_PAGES))),
    step('dirty log', () => String(vm.ioctls.getDirtyLog(0))),
    step('dirty log of a slot', () => String(vm.ioctls.getDirtyLog(SLOT))),
    step('slot', (_vcpu, below) =>
      String(setSlot(places[below(2)] ?? 0, below(3) === 0 ? 0 : MemslotFlag.LOG_DIRTY_PAGES)),
    ),
    step('no slot', (_vcpu, below) => (below(4) === 0 ? String(setSlot(SLOT_START, 0, 0)) : 'kept')),
    step('store by KVM', (_vcpu, below) => {
      const at = ((places[below(2)] ?? 0) + below(SLOT_FRAMES)) * 4096;
      return JSON.stringify(vm.write('hypervisor', at as never, Uint8Array.of(below(256))));
    }),
    step('L2', (vcpu, below) => {
      const pointer = tablesInKit({ memory, backing, scratch }, vcpu);
      const own = below(2) === 0;
      return String(
        vm.enterNested(vcpu, pointer, {
          controls: {
            ...(own ? { cr0Mask: CR0.TS, cr4Mask: CR4.UMIP, cr4Shadow: CR4.UMIP, cr3LoadExiting: true } : {}),
            writeExitingMsrs: below(2) === 0 ? 'all' : new Set<number>(),
          },
          host: below(2) === 0 ? { cr4: CR4.PAE | CR4.SMEP | CR4.UMIP } : {},
        }),
      );
    }),
    step('VM exit', (vcpu) => {
      vm.leaveNested(vcpu);
      const { cr0, cr3, cr4, efer } = vcpu.registers;
      return [cr0, cr3, cr4, efer].join();
    }),
    step('housekeeping', (_vcpu, below) => {
      const start = below(0x600) as Gfn;
      const end = (start + 1 + below(0x400)) as Gfn;
      if (below(2) === 0) vm.age(start, end);
      else vm.invalidate(start, end);
      return String(vm.preFault(start, end));
    }),
    step('capability', (_vcpu, below) => {
      const { capabilities } = { capabilities: [below(300), below(300)] };
      return capabilities
        .map((capability) => vm.ioctls.enableCapability(capability, BigInt(below(4))))
        .join();
    }),
  ];
}

/** The slots of a VM, where they are now. Nothing stays mapped in either: the next load of a frame puts it into a log in both. */
export function carrySlots(from: KvmVirtualMachine, to: KvmVirtualMachine): void {
  for (const { id, base, frames, backing, flags } of from.slots) {
    from.invalidate(base, (base + frames) as Gfn);
    if (to.slots.some((slot) => slot.id === id)) continue;
    to.ioctls.setUserMemoryRegion({
      slot: id,
      flags: flags & ~MemslotFlag.LOG_DIRTY_PAGES,
      guestPhysicalAddress: BigInt(base) << 12n,
      memorySize: BigInt(frames) << 12n,
      userspaceAddress: BigInt(backing) << 12n,
    });
  }
}

type Below = Parameters<LifeStep['run']>[1];

/** KVM_SET_MEMORY_ATTRIBUTES for some of the frames that lives are about. */
function someAttributes(below: Below) {
  const start = [0x1ff, 0x200, 0x300, 0x5ff][below(4)] ?? 0x200;
  return {
    address: BigInt(start) << 12n,
    size: BigInt(1 + below(0x120)) << 12n,
    attributes: BigInt(below(NEGATIVE_ATTRIBUTES + 1)),
    flags: 0n,
  };
}

/** What can happen where the policy has an owner outside: its VMM sets attributes past the owner's table. */
export function policyLives({ vm }: GuestPlaces<KvmPolicyMachine>): readonly LifeStep[] {
  return [
    {
      name: 'attributes by the VMM',
      run: (_vcpu, below) => String(vm.ioctls.setMemoryAttributes(someAttributes(below))),
    },
  ];
}

/** The same where the owner is another plane, which its own attributes bind. */
export function planesLives(places: GuestPlaces<KvmPlanesMachine>): readonly LifeStep[] {
  const { plane1 } = places.vm;
  return [
    ...policyLives(places),
    {
      name: 'attributes of plane 1',
      run: (_vcpu, below) => String(plane1.setMemoryAttributes(someAttributes(below))),
    },
    {
      name: 'rights in plane 1',
      run: (_vcpu, below) => JSON.stringify(plane1.effectiveRights((0x1ff + below(0x120)) as Gfn)),
    },
  ];
}

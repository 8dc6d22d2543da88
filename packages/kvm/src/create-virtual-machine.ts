import { KVM_HEKI_EXIT_REASON_VALID_MASK } from '@heki/hypercall/kvm';
import { HypervisorError, type VirtualMachineOptions } from '@heki/hypervisor';
import { addressOf, FRAME_END, type Gfn } from '@heki/physical-memory';
import { createVcpu, type Vcpu } from '@heki/vcpu';
import { createAttributeStore } from './attributes/attribute-store.ts';
import { createPermissions } from './attributes/permissions.ts';
import { supportedAttributes, userSetMemoryAttributes } from './attributes/user-attributes.ts';
import { type PinBinding, updateCrMasks } from './control-registers/control-registers.ts';
import { pinFromHost } from './control-registers/lock-cr.ts';
import type { KvmEvent } from './event.ts';
import { emulateMovToCr, emulateStore } from './exit/emulator.ts';
import { handleExit } from './exit/exit.ts';
import { enterNested, leaveNested } from './exit/nested.ts';
import { Errno } from './host/errno.ts';
import { createHostLog } from './host/host-log.ts';
import { reportIncident } from './host/incident.ts';
import { createLockChecker } from './host/locks.ts';
import { protectFromHost } from './hypercall/protect-memory.ts';
import { applyLifeCycle, restoreState, saveState } from './life-cycle.ts';
import { guestMemory } from './memslots/guest-memory.ts';
import { MemslotFlag } from './memslots/memslot.ts';
import { createMemslots, type UserspaceMemoryRegion } from './memslots/memslots.ts';
import { writeGuest } from './memslots/other-writers.ts';
import { age } from './mmu/access-tracking.ts';
import { getDirtyLog } from './mmu/dirty-log.ts';
import { createLargePages } from './mmu/large-pages.ts';
import { effectiveRights, preFault } from './mmu/map-fault.ts';
import { createSecondLevelTables } from './mmu/second-level-tables.ts';
import { flushRemoteTlbs, zap } from './mmu/zap.ts';
import type { ResolvedOptions } from './resolve-options.ts';
import { createStatistics } from './statistics.ts';
import type { KvmVirtualMachine } from './virtual-machine.ts';
import type { VmState } from './vm-state.ts';

/** KVM_CREATE_VM. */
export function createKvmVirtualMachine(
  options: ResolvedOptions,
  { host, onEvent }: VirtualMachineOptions<KvmEvent>,
): KvmVirtualMachine {
  const slots = createMemslots();
  const attributes = createAttributeStore();
  const bindings = new Map<Vcpu, PinBinding>();
  const vm: VmState = {
    options,
    defects: options.defects,
    slots,
    memory: guestMemory(slots, host.memory),
    attributes,
    permissions: createPermissions(attributes, options.defects),
    largePages: createLargePages({
      attributes,
      defects: options.defects,
      privateMemory: options.privateMemory,
      overRead: (bytes, slot) => {
        const text = `lpage_info of slot ${slot.id}, which ends inside its last 1 GiB region`;
        reportIncident(vm, 'host-out-of-bounds-read', 'B-H9', BigInt(bytes), 'bytes', text);
      },
    }),
    tables: createSecondLevelTables(host, options),
    locks: createLockChecker(),
    log: createHostLog(onEvent && ((text) => onEvent({ type: 'log', text }))),
    statistics: createStatistics(),
    vcpus: [],
    nested: new Map(),
    pins: { cr0: 0n, cr4: 0n },
    exitReasons: { configure: 0, denial: 0 },
    emit: onEvent,
  };
  const bindingOf = (vcpu: Vcpu): PinBinding => {
    const binding = bindings.get(vcpu);
    if (binding === undefined) throw new HypervisorError(`virtual CPU ${vcpu.id} is not one of this machine`);
    return binding;
  };

  function setRegion(region: UserspaceMemoryRegion, hostLevel?: number): number {
    return vm.locks.with('slots_lock', () => {
      const change = slots.set(region, hostLevel);
      if (typeof change === 'number') return change;
      const { removed, added } = change;
      vm.locks.with('slots_arch_lock', () => {
        if (removed !== undefined) {
          vm.locks.with('mmu_lock', () => {
            if (zap(vm, removed.base, (removed.base + removed.frames) as Gfn)) flushRemoteTlbs(vm);
          });
        }
        if (added !== undefined && added.mixed !== removed?.mixed) vm.largePages.slotCreated(added);
      });
      return 0;
    });
  }

  const { HEKI_CONFIGURE, HEKI_DENIAL, MEMORY_ATTRIBUTES } = options.abi.capabilities;
  return {
    addMemory({ start, frames, backing, readOnly, largestLeaf = 262144 }) {
      const used = new Set(slots.slots.map((slot) => slot.id));
      let slot = 0;
      while (used.has(slot)) slot++;
      const error = setRegion(
        {
          slot,
          flags: readOnly === true ? MemslotFlag.READONLY : 0,
          guestPhysicalAddress: BigInt(addressOf(start)),
          memorySize: BigInt(frames) << 12n,
          userspaceAddress: BigInt(addressOf(backing)),
        },
        largestLeaf === 1 ? 1 : largestLeaf === 512 ? 2 : 3,
      );
      if (error !== 0) {
        const range = `guest frames 0x${start.toString(16)}-0x${(start + frames).toString(16)}`;
        throw new HypervisorError(
          error === -Errno.EEXIST
            ? `${range} overlap other memory of the guest`
            : `${range} are no region: expected at least one frame, all below 0x${FRAME_END.toString(16)}`,
        );
      }
    },
    removeMemory(start) {
      const slot = slots.slots.find(({ base }) => base === start);
      if (slot === undefined)
        throw new HypervisorError(`no memory starts at guest frame 0x${start.toString(16)}`);
      const { id, flags, base, backing } = slot;
      setRegion({
        slot: id,
        flags,
        guestPhysicalAddress: BigInt(addressOf(base)),
        memorySize: 0n,
        userspaceAddress: BigInt(addressOf(backing)),
      });
    },
    createVcpu(setup = {}) {
      const binding: PinBinding = { cr0: true, cr4: true };
      const vcpu = createVcpu({
        ...setup,
        id: vm.vcpus.length,
        memory: host.memory,
        profile: options.processor,
        secondLevel: vm.tables.view(),
        root: vm.tables.root,
        onExit: (running, exit) => handleExit(vm, running, binding, exit),
        controls:
          options.processor.vendor === 'amd'
            ? { svm: { cr0Write: false, cr0Selective: true, cr4Write: true } }
            : {},
      });
      bindings.set(vcpu, binding);
      vm.vcpus.push(vcpu);
      updateCrMasks(vm, vcpu);
      return vcpu;
    },
    vcpus: vm.vcpus,
    effectiveRights: (gfn) => effectiveRights(vm, gfn),
    flush: () => flushRemoteTlbs(vm),
    protect: (ranges) => protectFromHost(vm, ranges),
    pin: (bits) => pinFromHost(vm, bits),
    write: (writer, gpa, bytes) => writeGuest(vm, writer, gpa, bytes),
    lifeCycle: (event) => applyLifeCycle(vm, bindingOf, event),
    save: () => saveState(vm),
    restore: (state) => restoreState(vm, state),

    ioctls: {
      setUserMemoryRegion: (region) => setRegion(region),
      setMemoryAttributes: (request) => userSetMemoryAttributes(vm, request),
      getDirtyLog: (slot) => getDirtyLog(vm, slot),
      checkExtension(capability) {
        if (capability === HEKI_CONFIGURE || capability === HEKI_DENIAL)
          return KVM_HEKI_EXIT_REASON_VALID_MASK;
        return capability === MEMORY_ATTRIBUTES ? supportedAttributes(vm) : 0;
      },
      enableCapability(capability, argument) {
        if (capability !== HEKI_CONFIGURE && capability !== HEKI_DENIAL) return -Errno.EINVAL;
        if (argument > BigInt(KVM_HEKI_EXIT_REASON_VALID_MASK)) return -Errno.EINVAL;
        vm.exitReasons[capability === HEKI_CONFIGURE ? 'configure' : 'denial'] = Number(argument);
        return 0;
      },
    },
    statistics: vm.statistics,
    attributes,
    slots: slots.slots,
    pins: vm.pins,
    root: vm.tables.editor.root,
    get tablePages() {
      return vm.tables.editor.tables;
    },
    leafCounts() {
      const counts = [0, 0, 0, 0];
      vm.tables.editor.forEachLeaf(0 as Gfn, slots.end as Gfn, (_gfn, level) => {
        counts[level] = (counts[level] ?? 0) + 1;
      });
      return { pages4K: counts[1] ?? 0, pages2M: counts[2] ?? 0, pages1G: counts[3] ?? 0 };
    },
    preFault: (start, end) => preFault(vm, start, end),
    invalidate(start, end) {
      vm.locks.with('mmu_lock', () => {
        if (zap(vm, start, end)) flushRemoteTlbs(vm);
      });
    },
    age: (start, end) => age(vm, start, end),
    enterNested: (vcpu, eptp) => enterNested(vm, vcpu, eptp),
    leaveNested: (vcpu) => leaveNested(vm, vcpu),
    emulateMovToCr: (vcpu, cr, value) => emulateMovToCr(vm, vcpu, bindingOf(vcpu), cr, value),
    emulateStore: (vcpu, gpa, bytes) => emulateStore(vm, vcpu, gpa, bytes),
    locksHeld: vm.locks.held,
  };
}

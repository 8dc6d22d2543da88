import { createHostFrames, HypervisorError, type VirtualMachineOptions } from '@heki/hypervisor';
import { createVcpu, type Vcpu } from '@heki/vcpu';
import { createAttributeStore } from './attributes/attribute-store.ts';
import { updateCrMasks } from './control-registers/control-registers.ts';
import type { PinBinding } from './control-registers/pin-binding.ts';
import type { KvmEvent } from './event.ts';
import { handleExit } from './exit/exit.ts';
import { createHostLog } from './host/host-log.ts';
import { reportIncident } from './host/incident.ts';
import { createLockChecker } from './host/locks.ts';
import { guestMemory } from './memslots/guest-memory.ts';
import { createMemslots, frameEndOf } from './memslots/memslots.ts';
import { createLargePages } from './mmu/large-pages.ts';
import { createSecondLevelTables } from './mmu/second-level-tables.ts';
import type { KvmVcpuSetup } from './nested/nested-guest.ts';
import type { ResolvedOptions } from './options.ts';
import { createStatistics } from './statistics.ts';
import type { VmState } from './vm-state.ts';

/** KVM_CREATE_VM: everything but who decides. */
export function createVmState(
  options: ResolvedOptions,
  { host, onEvent, onYield }: VirtualMachineOptions<KvmEvent>,
): Omit<VmState, 'owner'> {
  const slots = createMemslots(frameEndOf(options.processor));
  const attributes = createAttributeStore();
  const statistics = createStatistics();
  return {
    options,
    defects: options.defects,
    slots,
    hostFrames: createHostFrames(),
    memory: guestMemory(slots, host.memory),
    attributes,
    largePages: createLargePages({
      attributes,
      defects: options.defects,
      privateMemory: options.privateMemory,
      overRead: (bytes, slot) => {
        const text = `lpage_info of slot ${slot.id}, which ends inside its last 1 GiB region`;
        const harmed = { statistics, emit: onEvent };
        reportIncident(harmed, 'host-out-of-bounds-read', 'B-H9', BigInt(bytes), 'bytes', text);
      },
    }),
    tables: createSecondLevelTables(host, options),
    code: undefined,
    hlat: undefined,
    locks: createLockChecker(),
    log: createHostLog(onEvent && ((text) => onEvent({ type: 'log', text }))),
    statistics,
    vcpus: [],
    bindings: new Map(),
    nested: new Map(),
    onNestedExit: new Map(),
    pins: { cr0: 0n, cr4: 0n },
    emit: onEvent,
    onYield,
    invalidation: { inProgress: 0, sequence: 0 },
  };
}

/** KVM_CREATE_VCPU. */
export function createKvmVcpu(
  vm: VmState,
  memory: VirtualMachineOptions['host']['memory'],
  { onNestedExit, ...setup }: KvmVcpuSetup,
): Vcpu {
  const id = vm.vcpus.length;
  const binding: PinBinding = vm.bindings.get(id) ?? { cr0: true, cr4: true };
  const vcpu = createVcpu({
    ...setup,
    id,
    memory,
    processor: vm.options.processor,
    secondLevel: vm.tables.view(),
    root: vm.tables.root,
    onExit: (running, exit) => handleExit(vm, running, binding, exit),
  });
  vm.bindings.set(id, binding);
  vm.vcpus.push(vcpu);
  if (onNestedExit !== undefined) vm.onNestedExit.set(vcpu, onNestedExit);
  vm.hlat?.join(vcpu);
  updateCrMasks(vm, vcpu);
  return vcpu;
}

/** How the pins bind a virtual CPU. @throws {HypervisorError} for one of another machine */
export function bindingOf(vm: VmState, vcpu: Vcpu): PinBinding {
  const binding = vm.vcpus[vcpu.id] === vcpu ? vm.bindings.get(vcpu.id) : undefined;
  if (binding === undefined) throw new HypervisorError(`virtual CPU ${vcpu.id} is not one of this machine`);
  return binding;
}

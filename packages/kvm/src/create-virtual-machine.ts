import { Errno } from '@heki/hypercall/errno';
import { KVM_HEKI_EXIT_REASON_VALID_MASK } from '@heki/hypercall/kvm';
import type { VirtualMachineOptions } from '@heki/hypervisor';
import type { Gfn } from '@heki/physical-memory';
import { createPermissions } from './attributes/permissions.ts';
import { userSetMemoryAttributes } from './attributes/user-attributes.ts';
import { checkpointVm, digestVm } from './checkpoint.ts';
import { createCodeOwner } from './code/create-code-owner.ts';
import { pinFromHost } from './control-registers/lock-cr.ts';
import { bindingOf, createKvmVcpu, createVmState } from './create-vm-state.ts';
import type { KvmEvent } from './event.ts';
import { emulateMovToCr, emulateStore } from './exit/emulator.ts';
import { resumeFromSmm } from './exit/resume-from-smm.ts';
import { createHlat } from './hlat/create-hlat.ts';
import { protectFromHost } from './hypercall/protect-memory.ts';
import { createKernelOwner } from './kernel-owner.ts';
import { applyLifeCycle } from './life-cycle.ts';
import { frameEndOf } from './memslots/memslots.ts';
import { writeGuest } from './memslots/other-writers.ts';
import { addRegion, removeRegion, setRegion } from './memslots/set-region.ts';
import { age } from './mmu/access-tracking.ts';
import { getDirtyLog } from './mmu/dirty-log.ts';
import { beginInvalidation, endInvalidation } from './mmu/invalidation.ts';
import { effectiveRights } from './mmu/map-fault.ts';
import { preFault } from './mmu/pre-fault.ts';
import { flushRemoteTlbs, zap } from './mmu/zap.ts';
import { enterNested, leaveNested } from './nested/nested.ts';
import type { ResolvedOptions } from './options.ts';
import { clearState, restoreState, saveState } from './state/kernel-state.ts';
import type { KvmVirtualMachine } from './virtual-machine.ts';
import type { HekiVmState } from './vm-state.ts';

/** A virtual machine of KVM as the series has it. */
export function createKvmVirtualMachine(
  options: ResolvedOptions,
  machine: VirtualMachineOptions<KvmEvent>,
): KvmVirtualMachine {
  const state = createVmState(options, machine);
  const vm: HekiVmState = {
    ...state,
    permissions: createPermissions(state.attributes, options.defects),
    exitReasons: { configure: 0, denial: 0 },
    owner: createKernelOwner(() => vm, options.privateMemory),
    code:
      options.authenticate &&
      createCodeOwner({
        vm: () => vm,
        memory: machine.host.memory,
        code: options.authenticate,
        defects: options.codeDefects,
      }),
    hlat:
      options.hlat &&
      createHlat({
        vm: () => vm,
        host: machine.host,
        settings: options.hlat,
        frameEnd: frameEndOf(options.processor),
      }),
  };
  const { slots, attributes } = vm;
  const { HEKI_CONFIGURE, HEKI_DENIAL, MEMORY_ATTRIBUTES } = options.abi.capabilities;
  return {
    addMemory: (region) => addRegion(vm, region),
    removeMemory: (start) => removeRegion(vm, start),
    createVcpu: (setup = {}) => createKvmVcpu(vm, machine.host.memory, setup),
    vcpus: vm.vcpus,
    effectiveRights: (gfn) => effectiveRights(vm, gfn),
    flush: () => flushRemoteTlbs(vm),
    protect: (ranges) => protectFromHost(vm, ranges),
    pin: (bits) => pinFromHost(vm, bits),
    write: (writer, gpa, bytes) => writeGuest(vm, writer, gpa, bytes),
    lifeCycle: (event) => applyLifeCycle(vm, event, () => clearState(vm)),
    save: () => saveState(vm),
    restore: (saved) => restoreState(vm, saved),
    checkpoint: () =>
      checkpointVm(vm, () => {
        const [permissions, reasons] = [vm.permissions.default, { ...vm.exitReasons }];
        const code = vm.code?.checkpoint();
        return () => {
          code?.();
          vm.permissions.setDefault(permissions);
          Object.assign(vm.exitReasons, reasons);
        };
      }),

    digest(digest) {
      digest.word(vm.permissions.default);
      digest.word(vm.exitReasons.configure);
      digest.word(vm.exitReasons.denial);
      // All that the owner keeps follows from what it has done.
      for (const byte of vm.code?.authority.chain ?? []) digest.word(byte);
      digestVm(vm, digest);
    },

    ioctls: {
      setUserMemoryRegion: (region) => setRegion(vm, region),
      setMemoryAttributes: (request) => userSetMemoryAttributes(vm, request),
      getDirtyLog: (slot) => getDirtyLog(vm, slot),
      checkExtension(capability) {
        if (capability === HEKI_CONFIGURE || capability === HEKI_DENIAL)
          return KVM_HEKI_EXIT_REASON_VALID_MASK;
        return capability === MEMORY_ATTRIBUTES ? vm.owner.userAttributes : 0;
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
    hlat: vm.hlat,
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
      // kvm_mmu_notifier_invalidate_range_start() and _end(): a fault that was judged before maps nothing.
      vm.locks.with('mmu_lock', () => {
        beginInvalidation(vm);
        if (zap(vm, start, end)) flushRemoteTlbs(vm);
        endInvalidation(vm);
      });
    },
    age: (start, end) => age(vm, start, end),
    enterNested: (vcpu, pointer, setup) => enterNested(vm, vcpu, pointer, setup),
    leaveNested: (vcpu) => leaveNested(vm, vcpu),
    emulateMovToCr: (vcpu, cr, value) => emulateMovToCr(vm, vcpu, bindingOf(vm, vcpu), cr, value),
    resumeFromSmm: (vcpu, saved) => resumeFromSmm(vm, vcpu, bindingOf(vm, vcpu), saved),
    emulateStore: (vcpu, gpa, bytes) => emulateStore(vm, vcpu, gpa, bytes),
    locksHeld: vm.locks.held,
  };
}

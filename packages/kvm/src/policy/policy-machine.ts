import { CR4_PINNED_MASK } from '@heki/hypercall/kvm';
import {
  badState,
  type Capabilities,
  checkProtectionState,
  checkStateInteger,
  checkStateRanges,
  departedOf,
  type Host,
  type ProtectionState,
  type VirtualMachine,
} from '@heki/hypervisor';
import { FRAME_END } from '@heki/physical-memory';
import { setMemoryAttributes } from '../attributes/set-attributes.ts';
import { userSetMemoryAttributes } from '../attributes/user-attributes.ts';
import { createKvmVcpu } from '../create-vm-state.ts';
import type { LockChecker } from '../host/locks.ts';
import { applyLifeCycle } from '../life-cycle.ts';
import { writeGuest } from '../memslots/other-writers.ts';
import { addRegion, removeRegion } from '../memslots/set-region.ts';
import { effectiveRights } from '../mmu/map-fault.ts';
import { flushRemoteTlbs, zapAll } from '../mmu/zap.ts';
import { isAtRest, waitForRequests } from '../state/at-rest.ts';
import { restorePins, savePins } from '../state/vcpu-pins.ts';
import type { KvmIoctls, KvmVirtualMachine } from '../virtual-machine.ts';
import type { VmState } from '../vm-state.ts';
import { FULL_ACCESS, NEGATIVE_ATTRIBUTES } from './negative-rights.ts';
import type { OwnerPort } from './owner-port.ts';
import type { HekiPolicy } from './policy.ts';
import { createPolicyOwner } from './policy-owner.ts';
import { createRequests } from './requests.ts';
import { type AttributeRange, createRightsTable, FULL_RIGHTS } from './rights-table.ts';

/** A virtual machine of KVM whose rights have an owner outside of it. */
export interface KvmPolicyMachine
  extends VirtualMachine,
    Pick<KvmVirtualMachine, 'statistics' | 'attributes' | 'pins'> {
  /** What the VMM can do past the owner's table: KVM keeps attributes for whoever sets them. */
  readonly ioctls: Pick<KvmIoctls, 'setMemoryAttributes'>;
}

/** Attributes that the VMM has set past the owner of the policy, and those of the owner's own plane. */
interface PolicyOwnState {
  readonly backend: string;
  readonly attributes?: readonly AttributeRange[];
  readonly plane1?: readonly AttributeRange[];
}

/** A machine, and what KVM has of it. */
export interface PolicyMachineParts {
  readonly machine: KvmPolicyMachine;
  readonly vm: VmState;
}

function attributesOf({ attributes }: VmState): AttributeRange[] {
  const ranges: AttributeRange[] = [];
  attributes.forEach(0, FRAME_END, (start, end, value) => {
    if (value !== 0) ranges.push({ start, end, attributes: value });
  });
  return ranges;
}

function replaceAttributes(vm: VmState, ranges: readonly AttributeRange[]): void {
  vm.locks.with('slots_lock', () =>
    vm.locks.with('slots_arch_lock', () => {
      for (const { start, end, attributes } of [{ start: 0, end: FRAME_END, attributes: 0 }, ...ranges])
        setMemoryAttributes(vm, start, end, attributes, NEGATIVE_ATTRIBUTES);
    }),
  );
}

/** Puts together a VM without an owner, the port of one and its decisions. */
export function createPolicyMachine(options: {
  /** Of the backend. */
  readonly name: string;
  readonly state: Omit<VmState, 'owner'>;
  readonly host: Host;
  /** How the owner is reached; it takes one request at a time. */
  readonly port: OwnerPort;
  readonly policy: HekiPolicy<KvmPolicyMachine>;
  readonly capabilities: Capabilities;
  /** The plane of the owner, where its own attributes bind it. */
  readonly plane?: () => VmState;
}): PolicyMachineParts {
  const { name, state, host, policy, capabilities, plane } = options;
  const port = oneAtATime(options.port, state.locks);
  const rightsTable = createRightsTable(() => vm, port, capabilities);
  const shared = { vm: () => vm, port, rightsTable, policy, machine: () => machine };
  const requests = createRequests(shared);
  const splits = capabilities.executeSplit !== 'none';
  const vm: VmState = { ...state, owner: createPolicyOwner({ ...shared, requests, splits }) };

  function replace(state: ProtectionState, exceptions: readonly AttributeRange[] = []): void {
    waitForRequests(vm);
    port.act(() => {
      rightsTable.replace(state, exceptions);
      port.setPins(state.cr0, state.cr4);
    });
    vm.hostFrames.replace(state.departed ?? []);
    zapAll(vm);
    requests.bootEnded = state.bootEnded === true;
  }

  const machine: KvmPolicyMachine = {
    addMemory: (region) => addRegion(vm, region),
    removeMemory: (start) => removeRegion(vm, start),
    createVcpu: (setup = {}) => createKvmVcpu(vm, host.memory, setup),
    vcpus: vm.vcpus,
    effectiveRights: (gfn) => effectiveRights(vm, gfn),
    flush: () => flushRemoteTlbs(vm),
    protect: requests.protect,
    pin: requests.pin,
    write: (writer, gpa, bytes) => writeGuest(vm, writer, gpa, bytes),
    lifeCycle(event) {
      // A new kernel may ask again.
      applyLifeCycle(vm, event, () => replace({ ...FULL_RIGHTS, cr0: 0n, cr4: 0n }));
    },
    save() {
      if (!isAtRest(vm)) return undefined;
      const attributes = rightsTable.exceptions();
      const plane1 = plane === undefined ? [] : attributesOf(plane());
      const own: PolicyOwnState = {
        backend: name,
        ...(attributes.length === 0 ? {} : { attributes }),
        ...(plane1.length === 0 ? {} : { plane1 }),
      };
      return {
        ranges: rightsTable.ranges(),
        otherwise: FULL_ACCESS,
        ...vm.pins,
        ...(requests.bootEnded ? { bootEnded: true } : {}),
        ...savePins(vm),
        ...departedOf(vm.hostFrames),
        ...(attributes.length + plane1.length === 0 ? {} : { own }),
      };
    },
    restore(saved) {
      checkProtectionState(saved, { backend: name, capabilities, cr4: CR4_PINNED_MASK, endsBoot: true });
      const { attributes = [], plane1 = [] } = (saved.own ?? {}) as Partial<PolicyOwnState>;
      const check = (range: AttributeRange, place: string): void => {
        checkStateInteger(`${place}.attributes`, range.attributes, 0, NEGATIVE_ATTRIBUTES);
        if (!vm.owner.isLegal(range.attributes)) {
          throw badState(`${place}.attributes`, range.attributes, 'attributes that go together here');
        }
      };
      checkStateRanges('own.attributes', attributes, check);
      checkStateRanges('own.plane1', plane1, check);
      if (plane === undefined && plane1.length > 0)
        throw badState('own.plane1', plane1.length, 'no ranges: there are no planes');
      replace(saved, attributes);
      if (plane !== undefined) replaceAttributes(plane(), plane1);
      restorePins(vm, saved.vcpus);
      return true;
    },
    ioctls: { setMemoryAttributes: (request) => userSetMemoryAttributes(vm, request) },
    statistics: vm.statistics,
    attributes: vm.attributes,
    pins: vm.pins,
  };
  return { machine, vm };
}

/** The owner's own lock: a request, or a denial, waits while it takes another one. What it does meanwhile is part of that. */
function oneAtATime(port: OwnerPort, locks: LockChecker): OwnerPort {
  const alone = <Result>(body: () => Result): Result =>
    locks.held.includes('policy_lock') ? body() : locks.with('policy_lock', body);
  return {
    ...port,
    ask: (vcpu, exit, decide) => alone(() => port.ask(vcpu, exit, decide)),
    act: (action) => alone(() => port.act(action)),
  };
}

import type { Host } from '@heki/hypervisor';
import type { Vcpu } from '@heki/vcpu';
import { pagingRegisters } from '@heki/x86';
import { userSetMemoryAttributes } from '../attributes/user-attributes.ts';
import { setPins } from '../control-registers/control-registers.ts';
import { createKvmVcpu } from '../create-vm-state.ts';
import { returnToUserSpace } from '../exit/user-exit.ts';
import { denyAccess } from '../exit/violation.ts';
import type { Owner } from '../owner.ts';
import type { VmState } from '../vm-state.ts';
import { hypercallExit } from './encode-policy-exit.ts';
import { FULL_ACCESS } from './negative-rights.ts';
import type { OwnerPort } from './owner-port.ts';

/**
 * Hypercalls of VTL1 to the VMM: this project's own, with numbers far above KVM's (`VTL` in ASCII). What they ask for is done to VTL0's
 * VM. Any of them from VTL0 is -KVM_ENOSYS: these numbers are not implemented there.
 */
const Vtl1Hypercall = {
  /** RBX: first frame, RCX: end, RDX: attributes. */
  SET_ATTRIBUTES: 0x56544c01n,
  /** RBX: pinned bits of CR0, RCX: of CR4. */
  SET_PINS: 0x56544c02n,
  /** Back to VTL0. */
  RETURN: 0x56544c03n,
} as const;

/** What binds the accesses of the owner's own level. */
type OwnRights = Pick<Owner, 'rightsOf' | 'asked' | 'userAttributes' | 'isLegal' | 'forbids'>;

/** Nothing does. */
export const UNBOUND: OwnRights = {
  rightsOf: () => FULL_ACCESS,
  asked: () => [],
  userAttributes: 0,
  isLegal: () => true,
  forbids: () => false,
};

/** The VM of VTL1, and its owner's way to KVM. */
export interface PairedVm {
  readonly vm: VmState;
  readonly port: OwnerPort;
  readonly switches: () => number;
}

/** A VM, or another plane of one, whose virtual CPUs own the policy of `lower`, over the same memory. */
export function createPairedVm(options: {
  readonly host: Host;
  readonly lower: () => VmState;
  readonly upper: Omit<VmState, 'owner'>;
  readonly rights: OwnRights;
  /** The VMM runs the other half of a virtual CPU from now on. */
  readonly onSwitch: (vcpu: number, to: 0 | 1) => void;
}): PairedVm {
  const { host, lower, upper, rights, onSwitch } = options;
  let switches = 0;
  /** The virtual CPU of VTL1 that the VMM runs now. */
  let running: Vcpu | undefined;

  /** The VMM's loop around KVM_RUN of VTL1. */
  function serve(number: bigint, a0: bigint, a1: bigint, a2: bigint): void {
    switch (number) {
      case Vtl1Hypercall.SET_ATTRIBUTES:
        userSetMemoryAttributes(lower(), {
          address: a0 << 12n,
          size: (a1 - a0) << 12n,
          attributes: a2,
          flags: 0n,
        });
        break;
      case Vtl1Hypercall.SET_PINS:
        setPins(lower(), a0, a1);
        break;
    }
  }

  const owner: Owner = {
    ...rights,
    isImmutable: () => false,
    hypercall: (vcpu, number, ...args) => ({
      inUserSpace() {
        returnToUserSpace(vm, vcpu, hypercallExit(vcpu, number, ...args));
        serve(number, ...args);
        return 0;
      },
    }),
    denied: (vcpu, fault) => denyAccess(vm, vcpu, fault),
    registerWrite: () => undefined,
  };
  const vm: VmState = { ...upper, owner };

  function pairOf(index: number): Vcpu {
    let vcpu = vm.vcpus[index];
    while (vcpu === undefined) {
      createKvmVcpu(vm, host.memory, { registers: { ...pagingRegisters(), codeSegment64: true } });
      vcpu = vm.vcpus[index];
    }
    return vcpu;
  }

  function call(vcpu: Vcpu, rax: bigint, rbx = 0n, rcx = 0n, rdx = 0n): void {
    Object.assign(vcpu.registers, { rax, rbx, rcx, rdx });
    vcpu.vmcall();
  }

  /** Runs `body` in VTL1, on the other half of virtual CPU `index`. */
  function enter<Result>(index: number, body: (vcpu: Vcpu) => Result): Result {
    if (running !== undefined) return body(running);
    const vcpu = pairOf(index);
    running = vcpu;
    switches++;
    onSwitch(index, 1);
    try {
      return body(vcpu);
    } finally {
      call(vcpu, Vtl1Hypercall.RETURN);
      running = undefined;
      switches++;
      onSwitch(index, 0);
    }
  }

  return {
    vm,
    switches: () => switches,
    port: {
      by: 'policy-owner',
      reader: () => vm,
      ask(vcpu, exit, decide) {
        returnToUserSpace(lower(), vcpu, exit);
        return enter(vcpu.id, decide);
      },
      act: (action) => enter(0, action),
      setAttributes: (start, end, attributes) =>
        enter(0, (vcpu) =>
          call(vcpu, Vtl1Hypercall.SET_ATTRIBUTES, BigInt(start), BigInt(end), BigInt(attributes)),
        ),
      setPins: (cr0, cr4) => enter(0, (vcpu) => call(vcpu, Vtl1Hypercall.SET_PINS, cr0, cr4)),
    },
  };
}

import { CR0_PIN_REQUIRED, CR4_PINNED_MASK } from '@heki/hypercall/kvm';
import {
  decodeVmEvent,
  encodeVmEvent,
  MemAccessFlag,
  type VmEvent,
  VmEventControlRegister,
  VmEventDescriptor,
  type VmEventDetail,
  VmEventFlag,
  vmEventRingBack,
  XEN_HEKI_VERSION,
  XenError,
  XenHekiRequest,
} from '@heki/hypercall/xen';
import {
  type Denial,
  type PinnableRegister,
  type PinRequest,
  type PinResult,
  registerName,
  type Verdict,
} from '@heki/hypervisor';
import { addressOf, type Gfn, type Gpa, type VirtualAddress } from '@heki/physical-memory';
import { type Exception, Vector } from '@heki/vcpu';
import { type DomainState, yieldAt } from '../domain-state.ts';
import type { MemoryPolicy } from './enforce.ts';
import type { Pins } from './pins.ts';
import { readRequest } from './read-request.ts';

/** The monitor for Heki, in a domain of its own: it knows the guest by the ring and by its mapped memory. */
export interface Monitor {
  /** Answers the events that wait, at most `most`. How many it answered. */
  run(most?: number): number;
  pin(by: 'guest' | 'policy-owner', request: PinRequest): PinResult;
  /** What brings back its end of the ring as it is now; what it enforces has checkpoints of its own. */
  checkpoint(): () => void;
}

type Detail<Reason extends VmEventDetail['reason']> = Extract<VmEventDetail, { reason: Reason }>;

const GENERAL_PROTECTION: Exception = { vector: Vector.GP, errorCode: 0 };
/** What the guest's #PF names when the linear address is not known. */
const NO_ADDRESS = 0xffff_ffff_ffff_ffffn as VirtualAddress;
const DESCRIPTORS: { readonly [descriptor: number]: PinnableRegister & string } = {
  [VmEventDescriptor.IDTR]: 'idtr',
  [VmEventDescriptor.GDTR]: 'gdtr',
  [VmEventDescriptor.LDTR]: 'ldtr',
  [VmEventDescriptor.TR]: 'tr',
};

/** @param subscribe turns on the events that the pins need, on every virtual CPU */
export function createMonitor(options: {
  readonly domain: DomainState;
  readonly policy: MemoryPolicy;
  readonly pins: Pins;
  readonly page: Uint32Array;
  readonly subscribe: () => void;
}): Monitor {
  const { domain, policy, pins, subscribe } = options;
  const back = vmEventRingBack(options.page);
  const { emit } = domain;

  function pin(by: 'guest' | 'policy-owner', request: PinRequest): PinResult {
    yieldAt(domain, 'attribute-change');
    const result = pins.add(request);
    subscribe();
    emit?.({ type: 'pinned', by, result });
    return result;
  }

  function reply(event: VmEvent, flags: number, rax?: number): VmEvent {
    const registers =
      rax === undefined ? event.registers : { ...event.registers, rax: BigInt.asUintN(64, BigInt(rax)) };
    return { ...event, flags: (event.flags & VmEventFlag.VCPU_PAUSED) | flags, registers };
  }

  /** What a verdict means in flags of the reply. Exceptions go into the guest by XEN_DMOP_inject_event beside it. */
  function deny(event: VmEvent, denial: Denial, verdict: Verdict, fault: Exception): VmEvent {
    emit?.({ type: 'denied', vcpu: event.vcpu, denial, verdict });
    switch (verdict) {
      case 'page-fault':
        domain.injections.set(event.vcpu, fault);
        return reply(event, 0);
      case 'general-protection':
        domain.injections.set(event.vcpu, GENERAL_PROTECTION);
        return reply(event, 0);
      case 'skip':
        return reply(event, denial.kind === 'memory' ? VmEventFlag.EMULATE_NOWRITE : VmEventFlag.DENY);
      case 'allow-once':
        return reply(event, denial.kind === 'memory' ? VmEventFlag.EMULATE : 0);
      case 'stop':
        domain.shutdown = 'the monitor ended the domain after a denied access';
        // The domain goes down with the reply, and the register is not written before.
        return reply(event, denial.kind === 'memory' ? 0 : VmEventFlag.DENY);
    }
  }

  function memoryAccess(event: VmEvent, detail: Detail<'mem-access'>): VmEvent {
    if ((event.flags & VmEventFlag.VCPU_PAUSED) === 0) return reply(event, 0);
    const has = (flag: number): boolean => (detail.flags & flag) !== 0;
    const user = (domain.vcpus[event.vcpu]?.registers.cpl ?? 0) !== 0;
    const linear = has(MemAccessFlag.GLA_VALID) ? (detail.linear as VirtualAddress) : undefined;
    const gpa = (addressOf(Number(detail.frame) as Gfn) + Number(detail.offset)) as Gpa;
    const access = has(MemAccessFlag.X)
      ? user
        ? 'user-execute'
        : 'supervisor-execute'
      : has(MemAccessFlag.FAULT_IN_GPT)
        ? 'page-walk'
        : has(MemAccessFlag.W)
          ? 'write'
          : 'read';
    // Present, and bits 1, 2 and 4: write, user, fetch (SDM 3A 4.7).
    const errorCode = 1 | (has(MemAccessFlag.W) ? 2 : 0) | (user ? 4 : 0) | (has(MemAccessFlag.X) ? 16 : 0);
    const fault = { vector: Vector.PF, errorCode, cr2: linear ?? NO_ADDRESS };
    return deny(event, { kind: 'memory', gpa, linear, access }, domain.options.memoryVerdict, fault);
  }

  function registerWrite(event: VmEvent, register: string, old: bigint, value: bigint): VmEvent {
    const denial: Denial = { kind: 'register', register, old, value };
    return deny(event, denial, domain.options.registerVerdict, GENERAL_PROTECTION);
  }

  function guestRequest(event: VmEvent): VmEvent {
    const { rbx, rcx, rdx, cr0, cr4 } = event.registers;
    switch (rbx) {
      case XenHekiRequest.VERSION:
        return reply(event, VmEventFlag.SET_REGISTERS, XEN_HEKI_VERSION);
      case XenHekiRequest.PROTECT_MEMORY:
        return reply(event, VmEventFlag.SET_REGISTERS, protect(rcx, rdx));
      case XenHekiRequest.PIN_CONTROL_REGISTER: {
        const own = rcx === 0n ? cr0 : rcx === 4n ? cr4 : 0n;
        const legal =
          rdx !== 0n &&
          (rdx & ~own) === 0n &&
          (rcx === 0n ? (rdx & CR0_PIN_REQUIRED) !== 0n : (rdx & ~CR4_PINNED_MASK) === 0n);
        if (legal) pin('guest', rcx === 0n ? { cr0: rdx } : { cr4: rdx });
        return reply(event, VmEventFlag.SET_REGISTERS, legal ? 0 : -XenError.EINVAL);
      }
      default:
        return reply(event, VmEventFlag.SET_REGISTERS, -XenError.ENOSYS);
    }
  }

  function protect(list: bigint, flags: bigint): number {
    const { regions, options } = domain;
    const reading = readRequest(regions.memory, list, options.listPages, flags, () =>
      yieldAt(domain, 'guest-read'),
    );
    if (!reading.ok) {
      const refused = { at: -1, why: reading.why };
      emit?.({ type: 'protected', by: 'guest', result: { applied: 0, weakened: [], refused } });
      return reading.error;
    }
    const result = policy.protect(reading.ranges, 'guest');
    emit?.({ type: 'protected', by: 'guest', result });
    switch (result.refused?.why) {
      case undefined:
        return 0;
      case 'immutable':
        return -XenError.EPERM;
      case 'no-memory':
        return -XenError.ENOMEM;
      default:
        return -XenError.EINVAL;
    }
  }

  function answer(event: VmEvent): VmEvent {
    const { detail } = event;
    switch (detail.reason) {
      case 'mem-access':
        return memoryAccess(event, detail);
      case 'write-ctrlreg': {
        const { index, value, old } = detail;
        const cr = index === VmEventControlRegister.CR0 ? 0 : index === VmEventControlRegister.CR4 ? 4 : 3;
        return cr === 3 || pins.allows(event.vcpu, cr, value)
          ? reply(event, 0)
          : registerWrite(event, `cr${cr}`, old, value);
      }
      case 'mov-to-msr': {
        const { msr, value, old } = detail;
        const register = { msr: Number(msr) };
        return pins.held.allows(event.vcpu, register, value)
          ? reply(event, 0)
          : registerWrite(event, registerName(register), old, value);
      }
      case 'descriptor-access': {
        // The event does not say what is loaded, so that a pinned register takes no load at all.
        const register = DESCRIPTORS[detail.descriptor];
        return register === undefined || pins.held.allows(event.vcpu, register, undefined)
          ? reply(event, 0)
          : registerWrite(event, register, 0n, 0n);
      }
      case 'guest-request':
        return guestRequest(event);
    }
  }

  return {
    pin,
    checkpoint: () => back.checkpoint(),
    run(most = Number.POSITIVE_INFINITY) {
      let answered = 0;
      while (answered < most) {
        const bytes = back.take();
        if (bytes === undefined || bytes === 'broken') break;
        const request = decodeVmEvent(bytes);
        back.put(request.ok ? encodeVmEvent(answer(request.message)) : bytes);
        answered++;
      }
      return answered;
    },
  };
}

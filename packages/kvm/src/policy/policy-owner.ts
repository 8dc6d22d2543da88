import { KvmHypercall } from '@heki/hypercall/kvm';
import type { AskedFrames, Denial } from '@heki/hypervisor';
import { frameOf } from '@heki/physical-memory';
import type { Vcpu } from '@heki/vcpu';
import { breaksPin, GENERAL_PROTECTION } from '../control-registers/control-registers.ts';
import { rightsOf as rightsUnderNames } from '../memslots/host-frames.ts';
import type { HypercallAnswer, Owner } from '../owner.ts';
import type { VmState } from '../vm-state.ts';
import { accessAsTold, actionOf, isDenied, pageFaultFor } from './denied-access.ts';
import { hypercallExit, memoryFaultExit, registerWriteExit } from './encode-policy-exit.ts';
import { isLegal, NEGATIVE_ATTRIBUTES, rightsLeft } from './negative-rights.ts';
import type { OwnerPort } from './owner-port.ts';
import type { DenialAnswer, HekiPolicy } from './policy.ts';
import type { Requests } from './requests.ts';
import type { RightsTable } from './rights-table.ts';

/** An owner outside the guest: every request, every denied access and every write of a pinned register goes to it, by an exit to user space. */
export function createPolicyOwner<Machine>(options: {
  readonly vm: () => VmState;
  readonly port: OwnerPort;
  readonly rightsTable: RightsTable;
  readonly requests: Requests;
  readonly policy: HekiPolicy<Machine>;
  readonly machine: () => Machine;
  /** The kernel's execution can be denied apart from that of user code. */
  readonly splits: boolean;
}): Owner {
  const { vm, port, rightsTable, requests, policy, splits } = options;

  const rightsOf: Owner['rightsOf'] = (gfn) => rightsLeft(vm().attributes.get(gfn));

  function decide(vcpu: Vcpu, denial: Denial): DenialAnswer {
    const decided = policy.denied?.(denial, options.machine()) ?? 'page-fault';
    const answer = denial.kind === 'register' && decided === 'page-fault' ? 'general-protection' : decided;
    if (answer !== 'retry') vm().emit?.({ type: 'denied', vcpu: vcpu.id, denial, verdict: answer });
    return answer;
  }

  function hear(
    vcpu: Vcpu,
    number: bigint,
    [a0, a1, a2]: readonly [bigint, bigint, bigint],
    answer: () => number,
  ): HypercallAnswer {
    return { inUserSpace: () => port.ask(vcpu, hypercallExit(vcpu, number, a0, a1, a2), answer) };
  }

  return {
    rightsOf,
    asked(start, end) {
      const asked: AskedFrames[] = [];
      vm().attributes.forEach(start, end, (from, to, value) => {
        const immutable = rightsTable.isImmutable(from, to);
        if (value !== 0 || immutable) asked.push({ start: from, end: to, rights: rightsOf(from), immutable });
      });
      return asked;
    },
    isImmutable: rightsTable.isImmutable,
    userAttributes: NEGATIVE_ATTRIBUTES,
    isLegal: (attributes) => isLegal(attributes, splits),
    hypercall(vcpu, number, ...args) {
      switch (number) {
        case BigInt(KvmHypercall.LOCK_CR_UPDATE):
          return hear(vcpu, number, args, () => requests.lockCr(vcpu, ...args));
        case BigInt(KvmHypercall.PROTECT_MEMORY):
          return hear(vcpu, number, args, () => requests.protectMemory(args[0]));
        case BigInt(KvmHypercall.HEKI_END_OF_BOOT):
          return hear(vcpu, number, args, () => requests.endOfBoot());
        default:
          return undefined;
      }
    },
    forbids: (fault) => isDenied(rightsUnderNames(vm(), frameOf(fault.gpa)), fault),
    denied(vcpu, fault) {
      return {
        inUserSpace() {
          const exit = memoryFaultExit(vm(), fault);
          const access = accessAsTold(fault, vcpu);
          const denial: Denial = { kind: 'memory', gpa: exit.gpa, linear: undefined, access };
          const answer = port.ask(vcpu, exit, () => decide(vcpu, denial));
          const action = actionOf(answer, pageFaultFor(fault, vcpu));
          if (action.kind === 'inject') {
            vm().statistics.injected++;
            const { exception } = action;
            vm().emit?.({ type: 'injected', vcpu: vcpu.id, exception, because: 'rights' });
          }
          return action;
        },
      };
    },
    registerWrite(vcpu, binding, cr, value) {
      if (!breaksPin(vm(), binding, cr, value)) return undefined;
      return {
        inUserSpace() {
          const old = cr === 0 ? vcpu.registers.cr0 : vcpu.registers.cr4;
          const denial: Denial = { kind: 'register', register: `cr${cr}`, old, value };
          const answer = port.ask(vcpu, registerWriteExit(vm(), cr, value), () => decide(vcpu, denial));
          if (answer !== 'retry') vm().statistics.registerDenials++;
          const action = actionOf(answer, GENERAL_PROTECTION);
          if (action.kind === 'inject') {
            const { exception } = action;
            vm().emit?.({ type: 'injected', vcpu: vcpu.id, exception, because: 'pin' });
          }
          return action;
        },
      };
    },
  };
}

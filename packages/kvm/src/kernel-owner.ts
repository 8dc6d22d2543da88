import {
  HEKI_ATTRIBUTE_IMMUTABLE,
  HEKI_ATTRIBUTE_MASK,
  KVM_MEMORY_ATTRIBUTE_PRIVATE,
  KvmHypercall,
  permissionsOfAttributes,
} from '@heki/hypercall/kvm';
import type { AskedFrames } from '@heki/hypervisor';
import { rightsOfPermissions } from './attributes/rights.ts';
import { codeRequest } from './code/code-requests.ts';
import { checkPins } from './control-registers/control-registers.ts';
import { lockCr } from './control-registers/lock-cr.ts';
import { denyAccess, isForbidden } from './exit/violation.ts';
import { protectMemory } from './hypercall/protect-memory.ts';
import type { Owner } from './owner.ts';
import type { HekiVmState } from './vm-state.ts';

/**
 * The series: KVM obeys the guest's kernel, keeps what it says in attributes that user space cannot reach, and turns violations
 * into exceptions of the guest by itself.
 */
export function createKernelOwner(vm: () => HekiVmState, privateMemory: boolean): Owner {
  return {
    rightsOf: (gfn) => rightsOfPermissions(vm().permissions.of(gfn)),
    asked(start, end) {
      const asked: AskedFrames[] = [];
      vm().attributes.forEach(start, end, (from, to, value) => {
        if ((value & HEKI_ATTRIBUTE_MASK) === 0) return;
        const rights = rightsOfPermissions(permissionsOfAttributes(value));
        asked.push({ start: from, end: to, rights, immutable: (value & HEKI_ATTRIBUTE_IMMUTABLE) !== 0 });
      });
      return asked;
    },
    isImmutable: (start, end) => vm().attributes.any(start, end, HEKI_ATTRIBUTE_IMMUTABLE),
    userAttributes: privateMemory ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0,
    isLegal: () => true,
    hypercall(vcpu, number, a0, a1, a2) {
      switch (number) {
        case BigInt(KvmHypercall.LOCK_CR_UPDATE):
          return lockCr(vm(), vcpu, a0, a1, a2);
        case BigInt(KvmHypercall.PROTECT_MEMORY):
          return { result: protectMemory(vm(), vcpu, a0) };
        default: {
          const { code } = vm();
          const result = code && codeRequest(vm(), code, number, a0, a1, a2);
          return result === undefined ? undefined : { result };
        }
      }
    },
    forbids: (fault) => isForbidden(vm(), fault),
    denied: (vcpu, fault) => denyAccess(vm(), vcpu, fault),
    registerWrite(vcpu, binding, cr, value) {
      const { options, defects } = vm();
      if (options.processor.vendor === 'amd' && defects['B-H17']) return undefined;
      return checkPins(vm(), vcpu, binding, cr, value);
    },
  };
}

import type { HekiGuest } from '@heki/guest';
import {
  CR0_PIN_REQUIRED,
  CR4_PINNED_MASK,
  HEKI_ABI_VERSION,
  KvmHypercall,
  LOCK_CR_UPDATE_VERSION,
} from '@heki/hypercall/kvm';
import { type DefectChoices, defectSwitches, type Profile } from '@heki/series';
import { type ParavirtDefectId, paravirtDefects } from './defects/paravirt-defects.ts';
import type { DriverMemory } from './driver-memory.ts';
import { type DriverVcpu, kvmHypercall } from './hypercall.ts';
import { codeAuthorityOnKvm } from './kvm-code-authority.ts';

/** The part of a guest core that a driver fills. */
export type HekiPort = Pick<HekiGuest, 'hypervisor'>;

/** What a driver runs on. */
export interface DriverOptions {
  /** The virtual CPU that executes the hypercalls; asked for each, because the kernel may run on any. */
  readonly vcpu: () => DriverVcpu;
  /** The kernel is one that has its code authenticated: it looks for an owner of it, and builds requests here. Default: it is not. */
  readonly authenticate?: DriverMemory | undefined;
  /** Hears of the warning about hypercalls in interrupt context, once. */
  readonly onWarning?: (text: string) => void;
  /** The published series as it is, or with its defects mended. Default `hardened`. */
  readonly profile?: Profile;
  /** Single defects switched on or off against the profile. */
  readonly defects?: DefectChoices<ParavirtDefectId>;
}

/**
 * `init_heki` of KVM (Heki v2 4/19): asks the hypervisor under the virtual CPU for the version of hypercall 13 and, if
 * it has one, fills `guest.hypervisor`. Whether it did.
 */
export function initHekiOnKvm(guest: HekiPort, options: DriverOptions): boolean {
  const { vcpu, onWarning, profile = 'hardened' } = options;
  const pinsNothing = defectSwitches(paravirtDefects, profile, options.defects)['B-G19'];
  const version = kvmHypercall(vcpu(), KvmHypercall.LOCK_CR_UPDATE, 0n, 0n, BigInt(LOCK_CR_UPDATE_VERSION));
  if (version < BigInt(HEKI_ABI_VERSION)) return false;

  let warned = false;
  const codeAuthority = options.authenticate && codeAuthorityOnKvm(vcpu, options.authenticate);
  guest.hypervisor = {
    ...(codeAuthority && { codeAuthority }),
    // kvm_lock_crs (Heki v2 4/19). CR4 is that of the CPU that runs this; the others are not compared.
    lockCrs() {
      const cpu = vcpu();
      const result = kvmHypercall(cpu, KvmHypercall.LOCK_CR_UPDATE, 0n, CR0_PIN_REQUIRED);
      const cr4 = cpu.registers.cr4 & CR4_PINNED_MASK;
      if (result !== 0n || (cr4 === 0n && !pinsNothing)) return toInt(result);
      return toInt(kvmHypercall(cpu, KvmHypercall.LOCK_CR_UPDATE, 4n, cr4));
    },
    // kvm_protect_memory (Heki v2 18/19).
    protectMemory(list) {
      const cpu = vcpu();
      if (cpu.interruptContext && !warned) {
        warned = true;
        onWarning?.('WARNING: kvm_protect_memory called in interrupt context');
      }
      return toInt(kvmHypercall(cpu, KvmHypercall.PROTECT_MEMORY, BigInt(list)));
    },
  };
  return true;
}

/** The `long` of a hypercall in the `int` that the port's functions return. */
function toInt(result: bigint): number {
  return Number(BigInt.asIntN(32, result));
}

import type { StateDigest } from '@heki/physical-memory';
import type { CpuProfile } from '@heki/x86';
import { fitsRegister } from './canonical-address.ts';

/** Model-specific registers of the model (SDM 4, table 2-2). EFER and PKRS are registers of their own. */
export const Msr = {
  APIC_BASE: 0x1b,
  SPEC_CTRL: 0x48,
  SYSENTER_CS: 0x174,
  SYSENTER_ESP: 0x175,
  SYSENTER_EIP: 0x176,
  MISC_ENABLE: 0x1a0,
  DEBUGCTL: 0x1d9,
  PAT: 0x277,
  PKRS: 0x6e1,
  EFER: 0xc000_0080,
  STAR: 0xc000_0081,
  LSTAR: 0xc000_0082,
  CSTAR: 0xc000_0083,
  SFMASK: 0xc000_0084,
  FS_BASE: 0xc000_0100,
  GS_BASE: 0xc000_0101,
  KERNEL_GS_BASE: 0xc000_0102,
  TSC_AUX: 0xc000_0103,
} as const;

/**
 * What a plain MSR makes of a written value. `low-32`: bits 63:32 are reserved; `ignore-high`: they are dropped and read as 0; `canonical`: an
 * address that the processor supports; `pat`: eight memory types; `apic-base`: an address below MAXPHYADDR and a mode.
 */
type Rule = 'any' | 'low-32' | 'ignore-high' | 'canonical' | 'pat' | 'apic-base';

interface PlainMsr {
  readonly initial: bigint;
  readonly intel: Rule;
  /** Where AMD differs. */
  readonly amd?: Rule;
  /** It shows a register that INIT loads anew. */
  readonly init?: true;
}

const PLAIN: ReadonlyMap<number, PlainMsr> = new Map<number, PlainMsr>([
  [Msr.APIC_BASE, { intel: 'apic-base', initial: 0xfee0_0800n }],
  [Msr.SPEC_CTRL, { intel: 'low-32', initial: 0n }],
  [Msr.SYSENTER_CS, { intel: 'ignore-high', initial: 0n }],
  // AMD has no 64-bit SYSENTER: the upper halves do not exist there (KVM: __kvm_set_msr(), svm_set_msr()).
  [Msr.SYSENTER_ESP, { intel: 'canonical', amd: 'ignore-high', initial: 0n }],
  [Msr.SYSENTER_EIP, { intel: 'canonical', amd: 'ignore-high', initial: 0n }],
  [Msr.MISC_ENABLE, { intel: 'any', initial: 1n }],
  [Msr.DEBUGCTL, { intel: 'low-32', initial: 0n }],
  [Msr.PAT, { intel: 'pat', initial: 0x0007_0406_0007_0406n }],
  [Msr.STAR, { intel: 'any', initial: 0n }],
  [Msr.LSTAR, { intel: 'canonical', initial: 0n }],
  [Msr.CSTAR, { intel: 'canonical', initial: 0n }],
  [Msr.SFMASK, { intel: 'low-32', initial: 0n }],
  [Msr.FS_BASE, { intel: 'canonical', initial: 0n, init: true }],
  [Msr.GS_BASE, { intel: 'canonical', initial: 0n, init: true }],
  [Msr.KERNEL_GS_BASE, { intel: 'canonical', initial: 0n }],
  // What AMD's processors do, whatever its manual says of these bits (KVM: kvm_set_msr_common()).
  [Msr.TSC_AUX, { intel: 'low-32', amd: 'ignore-high', initial: 0n }],
]);

const LOW_32 = 0xffff_ffffn;
/** UC, WC, WT, WP, WB, UC- (SDM 3A 12.12.2). */
const MEMORY_TYPES: readonly bigint[] = [0n, 1n, 4n, 5n, 6n, 7n];

/** What the MSR holds after `value` was written to it; `undefined`: #GP(0). */
function accepted(rule: Rule, value: bigint, old: bigint, processor: CpuProfile): bigint | undefined {
  switch (rule) {
    case 'any':
      return value;
    case 'low-32':
      return value > LOW_32 ? undefined : value;
    case 'ignore-high':
      return value & LOW_32;
    case 'canonical':
      return fitsRegister(value, processor) ? value : undefined;
    case 'pat':
      for (let types = value; types !== 0n; types >>= 8n) {
        if (!MEMORY_TYPES.includes(types & 0xffn)) return undefined;
      }
      return value;
    case 'apic-base':
      return isApicBase(value, old, processor) ? value : undefined;
  }
}

/** Of IA32_APIC_BASE: bits 7:0 and 9 are reserved. */
const APIC_RESERVED = 0x2ffn;
/** EXTD and EN: x2APIC mode and the APIC itself. */
const APIC_MODE = 0xc00n;
const X2APIC = 0xc00n;
const DISABLED = 0n;

/** Modes follow one another as SDM 3A 11.12.5, figure 11-27 has them: x2APIC mode is left by disabling the APIC, and entered while it is enabled. */
function isApicBase(value: bigint, old: bigint, { maxPhysicalAddressBits }: CpuProfile): boolean {
  if ((value & APIC_RESERVED) !== 0n || value >> BigInt(maxPhysicalAddressBits) !== 0n) return false;
  const [from, to] = [old & APIC_MODE, value & APIC_MODE];
  if (to === 0x400n) return false;
  return from === to || (to === X2APIC ? from !== DISABLED : from !== X2APIC || to === DISABLED);
}

/** The MSRs that nothing else of the processor depends on. */
export class PlainMsrs {
  readonly #values = new Map<number, bigint>();

  read(msr: number): bigint | undefined {
    return this.#values.get(msr) ?? PLAIN.get(msr)?.initial;
  }

  /** `false` when there is no such MSR or it does not take the value: #GP(0). */
  write(msr: number, value: bigint, processor: CpuProfile): boolean {
    const known = PLAIN.get(msr);
    if (known === undefined) return false;
    const rule = processor.vendor === 'amd' ? (known.amd ?? known.intel) : known.intel;
    const kept = accepted(rule, value, this.read(msr) ?? 0n, processor);
    if (kept === undefined) return false;
    this.#values.set(msr, kept);
    return true;
  }

  /** What brings back the values of now. */
  checkpoint(): () => void {
    const values = [...this.#values];
    return () => {
      this.#values.clear();
      for (const [msr, value] of values) this.#values.set(msr, value);
    };
  }

  /** Tells `digest` those that were written. */
  digest(digest: StateDigest): void {
    if (this.#values.size === 0) return;
    for (const msr of [...this.#values.keys()].sort((a, b) => a - b)) {
      digest.add(msr);
      digest.addU64(this.#values.get(msr) ?? 0n);
    }
  }

  /** INIT: they stay (SDM 3A table 10-1, "other MSRs"), but for the bases of FS and GS. */
  init(): void {
    for (const [msr, { init }] of PLAIN) if (init === true) this.#values.delete(msr);
  }

  /** RESET. */
  reset(): void {
    this.#values.clear();
  }
}

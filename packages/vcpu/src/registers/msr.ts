import { type CpuProfile, CR4 } from '@heki/x86';
import { isCanonicalAddress } from './canonical-address.ts';

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

/** What a plain MSR accepts. */
type Rule = 'any' | 'canonical' | 'low-32' | 'pat';

const PLAIN: ReadonlyMap<number, { readonly rule: Rule; readonly initial: bigint }> = new Map([
  [Msr.APIC_BASE, { rule: 'any', initial: 0xfee0_0800n }],
  [Msr.SPEC_CTRL, { rule: 'low-32', initial: 0n }],
  [Msr.SYSENTER_CS, { rule: 'low-32', initial: 0n }],
  [Msr.SYSENTER_ESP, { rule: 'canonical', initial: 0n }],
  [Msr.SYSENTER_EIP, { rule: 'canonical', initial: 0n }],
  [Msr.MISC_ENABLE, { rule: 'any', initial: 1n }],
  [Msr.DEBUGCTL, { rule: 'low-32', initial: 0n }],
  [Msr.PAT, { rule: 'pat', initial: 0x0007_0406_0007_0406n }],
  [Msr.STAR, { rule: 'any', initial: 0n }],
  [Msr.LSTAR, { rule: 'canonical', initial: 0n }],
  [Msr.CSTAR, { rule: 'canonical', initial: 0n }],
  [Msr.SFMASK, { rule: 'low-32', initial: 0n }],
  [Msr.FS_BASE, { rule: 'canonical', initial: 0n }],
  [Msr.GS_BASE, { rule: 'canonical', initial: 0n }],
  [Msr.KERNEL_GS_BASE, { rule: 'canonical', initial: 0n }],
  [Msr.TSC_AUX, { rule: 'low-32', initial: 0n }],
] as const);

function accepts(rule: Rule, value: bigint, profile: CpuProfile): boolean {
  switch (rule) {
    case 'any':
      return true;
    case 'low-32':
      return value >> 32n === 0n;
    case 'canonical':
      // Whether 57 bits count goes by what the processor can do, not by CR4.LA57 (SDM 2B WRMSR).
      return isCanonicalAddress(value, (profile.cr4 & CR4.LA57) !== 0n ? 5 : 4);
    case 'pat':
      for (let type = value; type !== 0n; type >>= 8n) {
        // UC, WC, WT, WP, WB, UC- (SDM 3A 12.12.2).
        if (![0n, 1n, 4n, 5n, 6n, 7n].includes(type & 0xffn)) return false;
      }
      return true;
  }
}

/** The MSRs that nothing else of the processor depends on. */
export class PlainMsrs {
  readonly #values = new Map<number, bigint>();

  read(msr: number): bigint | undefined {
    return this.#values.get(msr) ?? PLAIN.get(msr)?.initial;
  }

  /** `false` when there is no such MSR or it does not take the value: #GP(0). */
  write(msr: number, value: bigint, profile: CpuProfile): boolean {
    const known = PLAIN.get(msr);
    if (known === undefined || !accepts(known.rule, value, profile)) return false;
    this.#values.set(msr, value);
    return true;
  }

  reset(): void {
    this.#values.clear();
  }
}

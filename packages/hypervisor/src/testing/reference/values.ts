import type { Capabilities, PinnableRegister, PinSemantics } from '../../capabilities.ts';
import { registerName } from '../../capabilities.ts';
import { rightsOf } from '../../conformance/kit-guest.ts';
import { REFERENCE } from './reference-setup.ts';

type Part = Partial<Capabilities>;

/** Values of one field, by name, and what else must hold for them to be comparable. */
export interface FieldValues {
  readonly context?: Part;
  /** The cases that look at the field. */
  readonly cases: RegExp;
  readonly values: { readonly [name: string]: Part };
}

const per = <Value extends string>(
  names: readonly Value[],
  part: (value: Value) => Part,
): { readonly [name: string]: Part } => Object.fromEntries(names.map((name) => [name, part(name)]));

const pins = (part: Partial<Capabilities['pins']>): Part => ({ pins: { ...REFERENCE.pins, ...part } });
const REGISTERS: readonly PinnableRegister[] = [
  'cr3',
  'gdtr',
  'idtr',
  'ldtr',
  'tr',
  { msr: 0x176 },
  { msr: 0xc000_0080 },
  { msr: 0xc000_0082 },
];
const SEMANTICS: readonly PinSemantics[] = ['set-bits-stay-set', 'exact-value', 'whole-register'];
const UNDONE_BY = ['none', 'vmm', 'policy-owner'] as const;
const BYPASSES = ['dma', 'vmm', 'hypervisor-writes', 'emulator', 'nested-guest'] as const;

/** Every value that a backend can declare, of those that differ for anybody. */
export const VALUES: { readonly [field in keyof Capabilities]-?: FieldValues } = {
  policyOwner: {
    cases: /^declaration/,
    values: per(
      ['guest-kernel', 'vmm', 'higher-privilege-level', 'another-domain'] as const,
      (policyOwner) => ({ policyOwner }),
    ),
  },
  executeSplit: {
    cases: /^rights/,
    values: per(
      ['never-denied', 'none', 'supervisor-only', 'user-without-supervisor', 'full'] as const,
      (executeSplit) => ({ executeSplit }),
    ),
  },
  // The kit has no requests for it: they are each backend's own.
  authenticates: {
    cases: /^declaration/,
    context: { executeSplit: 'supervisor-only' },
    values: { code: { authenticates: 'code' } },
  },
  executeOnly: { cases: /^rights/, values: { yes: { executeOnly: true }, no: { executeOnly: false } } },
  readDenial: {
    cases: /^rights/,
    context: { executeOnly: false },
    values: { yes: { readDenial: true }, no: { readDenial: false } },
  },
  immutability: {
    cases: /^immutability/,
    context: { lifeCycle: { reset: 'keep', kexec: 'keep' } },
    values: {
      'no page': { immutability: { kind: 'none' } },
      'end of boot': { immutability: { kind: 'end-of-boot', undoneBy: 'policy-owner' } },
      ...per(UNDONE_BY, (undoneBy) => ({ immutability: { kind: 'per-page', undoneBy } })),
    },
  },
  unrequested: {
    cases: /never asked/,
    values: per(['rwxu', 'rwu', 'ru'], (letters) => ({ unrequested: rightsOf(letters) })),
  },
  granule: { cases: /^requests/, values: { 'pages of 4 KiB': { granule: 4096 } } },
  largePages: {
    cases: /^large pages/,
    values: per(['split-by-backend', 'split-by-caller'] as const, (largePages) => ({ largePages })),
  },
  pins: {
    cases: /^pins/,
    values: {
      'CR0.WP, and three bits of CR4': {},
      'no bit of CR0': pins({ cr0: 0n }),
      'no bit of CR4': pins({ cr4: 0n }),
      'SMEP alone': pins({ cr4: 1n << 20n }),
      'TS and MP as well': pins({ cr0: (1n << 16n) | (1n << 3n) | (1n << 1n) }),
      'no other register': pins({ registers: [] }),
      'every register': pins({ registers: REGISTERS }),
      ...Object.fromEntries(
        REGISTERS.map((register) => [
          `every register but ${registerName(register)}`,
          pins({ registers: REGISTERS.filter((each) => each !== register) }),
        ]),
      ),
      ...per(SEMANTICS.slice(1), (semantics) => pins({ semantics })),
    },
  },
  bypasses: {
    cases: /^other writers/,
    values: {
      none: { bypasses: [] },
      ...per(BYPASSES, (bypass) => ({ bypasses: [bypass] })),
      all: { bypasses: BYPASSES },
    },
  },
  rangesPerCall: {
    cases: /^requests.*in one call/,
    values: {
      'no limit': {},
      ...per(['1', '100', '500'], (most) => ({ rangesPerCall: Number(most) })),
    },
  },
  inForce: {
    cases: /^virtual CPUs/,
    values: per(['on-return', 'on-flush'] as const, (inForce) => ({ inForce })),
  },
  failure: {
    cases: /^requests.*is refused as/,
    values: per(['all-or-nothing', 'stops-at-first'] as const, (failure) => ({ failure })),
  },
  denialsDecidedBy: {
    cases: /^denials/,
    values: per(
      ['hypervisor', 'guest-kernel', 'vmm', 'higher-privilege-level', 'another-domain'] as const,
      (denialsDecidedBy) => ({ denialsDecidedBy }),
    ),
  },
  verdicts: {
    cases: /^denials/,
    context: { denialsDecidedBy: 'another-domain' },
    values: {
      '#PF and #GP': { verdicts: ['page-fault', 'general-protection'] },
      '#GP': { verdicts: ['general-protection'] },
      '#GP and skip': { verdicts: ['general-protection', 'skip'] },
      '#GP and stop': { verdicts: ['general-protection', 'stop'] },
      '#GP and once': { verdicts: ['general-protection', 'allow-once'] },
      all: { verdicts: ['page-fault', 'general-protection', 'skip', 'allow-once', 'stop'] },
    },
  },
  lifeCycle: {
    cases: /^life-cycle/,
    values: {
      'both clear': { lifeCycle: { reset: 'clear', kexec: 'clear' } },
      'reset clears': { lifeCycle: { reset: 'clear', kexec: 'keep' } },
      'kexec clears': { lifeCycle: { reset: 'keep', kexec: 'clear' } },
      'both keep': { lifeCycle: { reset: 'keep', kexec: 'keep' } },
    },
  },
  saveRestore: { cases: /^life-cycle/, values: { yes: { saveRestore: true }, no: { saveRestore: false } } },
};

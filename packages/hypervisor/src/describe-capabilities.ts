import { hex } from '@heki/physical-memory';
import type { Capabilities, Immutability, PinnableRegister } from './capabilities.ts';
import { formatRights } from './rights.ts';

/** One capability for people. */
export interface CapabilityRow {
  readonly name: string;
  readonly value: string;
}

const EXECUTE_SPLIT = {
  'never-denied': 'execution is never denied',
  none: 'one right for kernel and user',
  'supervisor-only': "the kernel's alone can be denied",
  'user-without-supervisor': "the kernel's alone, or both",
  full: 'kernel and user each on its own',
} as const;

/** `capabilities` as a table has them, one row each, in one order for all backends. */
export function describeCapabilities(capabilities: Capabilities): readonly CapabilityRow[] {
  const { pins, bypasses, rangesPerCall, verdicts, lifeCycle } = capabilities;
  const rows: [string, string][] = [
    ['policy owner', capabilities.policyOwner.replaceAll('-', ' ')],
    ['execute split', EXECUTE_SPLIT[capabilities.executeSplit]],
    ['execute without read', yes(capabilities.executeOnly)],
    ['reading can be denied', yes(capabilities.readDenial)],
    ['immutability', immutabilityText(capabilities.immutability)],
    ['memory without a request', formatRights(capabilities.unrequested)],
    ['granule', `${capabilities.granule} bytes`],
    [
      'ranges in one call',
      rangesPerCall === undefined ? 'as many as its budget allows' : String(rangesPerCall),
    ],
    [
      'failure of a request',
      capabilities.failure === 'all-or-nothing' ? 'nothing changes' : 'stops at the first range',
    ],
    ['in force', capabilities.inForce === 'on-return' ? 'when the call returns' : 'at the next flush'],
    ['pinnable in CR0', hex(pins.cr0)],
    ['pinnable in CR4', hex(pins.cr4)],
    ['other registers', pins.registers.length === 0 ? 'none' : pins.registers.map(registerText).join(', ')],
    ['a pin means', pins.semantics.replaceAll('-', ' ')],
    ['a denial is decided by', capabilities.denialsDecidedBy.replaceAll('-', ' ')],
    ['and answered with', verdicts.map((verdict) => verdict.replaceAll('-', ' ')).join(', ')],
    [
      'not bound by rights',
      bypasses.length === 0 ? 'none' : bypasses.map((one) => one.replaceAll('-', ' ')).join(', '),
    ],
    ...(capabilities.authenticates === undefined
      ? []
      : [['code is authenticated', 'once the kernel is sealed'] satisfies [string, string]]),
    ['reset, kexec', `${lifeCycle.reset}, ${lifeCycle.kexec}`],
    ['save and restore', yes(capabilities.saveRestore)],
  ];
  return rows.map(([name, value]) => ({ name, value }));
}

const UNDONE_BY = {
  none: 'until the machine ends',
  vmm: 'undone by the VMM',
  'policy-owner': 'undone by the policy owner',
} as const;

const yes = (value: boolean): string => (value ? 'yes' : 'no');

function immutabilityText(immutability: Immutability): string {
  switch (immutability.kind) {
    case 'none':
      return 'none';
    case 'per-page':
      return `per page, ${UNDONE_BY[immutability.undoneBy]}`;
    case 'end-of-boot':
      return 'everything, from the end of boot; undone by the policy owner';
  }
}

function registerText(register: PinnableRegister): string {
  return typeof register === 'string' ? register : `MSR ${hex(BigInt(register.msr))}`;
}

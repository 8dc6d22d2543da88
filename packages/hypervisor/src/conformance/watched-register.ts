import type { VirtualAddress } from '@heki/physical-memory';
import type { Outcome, Vcpu } from '@heki/vcpu';
import type { PinnableRegister } from '../capabilities.ts';
import { registerName } from '../capabilities.ts';
import { IDTR, SELECTORS } from './kit-memory.ts';

/** A register that can be pinned as a whole, with the instruction by which a guest writes it. */
export interface WatchedRegister {
  readonly register: PinnableRegister;
  readonly name: string;
  /** INIT leaves it as it is (SDM 3A table 10-1): a pin need not let it be loaded again. */
  readonly survivesInit: boolean;
  /** Its value now; a table's limit above its base. */
  read(vcpu: Vcpu): bigint;
  /** LGDT, LIDT, LLDT, LTR, MOV to CR3 or WRMSR. */
  write(vcpu: Vcpu, value: bigint): Outcome;
  /** Another value that the processor takes. */
  other(value: bigint): bigint;
  /** Gives it a value that it does not have after INIT, as a kernel does. */
  prepare(vcpu: Vcpu): void;
}

/** CR3.PCD: without PCIDs any kernel may set it. */
const PCD = 1n << 4n;
const APIC_BASE = 0x1b;
const EFER = 0xc000_0080;

/** MSRs that a kernel sets once, and that hypervisors pin or intercept. */
const MSRS = [
  APIC_BASE,
  0x174,
  0x175,
  0x176,
  0x1a0,
  0x277,
  EFER,
  0xc000_0081,
  0xc000_0082,
  0xc000_0083,
  0xc000_0084,
] as const;

function table(register: 'gdtr' | 'idtr'): WatchedRegister {
  return {
    register,
    name: registerName(register),
    survivesInit: false,
    read: ({ registers }) => {
      const { base = 0n, limit = 0 } = registers[register] ?? {};
      return base | (BigInt(limit) << 64n);
    },
    write: (vcpu, value) => {
      const base = BigInt.asUintN(64, value) as VirtualAddress;
      const limit = Number(value >> 64n);
      return register === 'gdtr' ? vcpu.lgdt(base, limit) : vcpu.lidt(base, limit);
    },
    other: (value) => value ^ 0x1000n,
    prepare: ({ registers }) => {
      if (register === 'idtr') registers.idtr = IDTR;
    },
  };
}

function selector(register: 'ldtr' | 'tr'): WatchedRegister {
  const [first, second] = SELECTORS[register].map(BigInt) as [bigint, bigint];
  return {
    register,
    name: registerName(register),
    survivesInit: false,
    read: ({ registers }) => BigInt(registers[register]),
    write: (vcpu, value) => (register === 'ldtr' ? vcpu.lldt(Number(value)) : vcpu.ltr(Number(value))),
    other: (value) => (value === first ? second : first),
    prepare: ({ registers }) => {
      registers[register] = Number(first);
    },
  };
}

function modelSpecific(msr: number): WatchedRegister {
  // The low bits of IA32_APIC_BASE are reserved or its mode.
  const bit = msr === APIC_BASE ? 0x1000n : 1n;
  const read = (vcpu: Vcpu): bigint => vcpu.emulateRdmsr(msr) ?? 0n;
  return {
    register: { msr },
    name: registerName({ msr }),
    survivesInit: msr !== EFER,
    read,
    write: (vcpu, value) => vcpu.wrmsr(msr, value),
    other: (value) => value ^ bit,
    prepare: (vcpu) => {
      // The kit's guest has another EFER than a processor after INIT; one that does not take the value keeps its own.
      if (msr !== EFER) vcpu.emulateWrmsr(msr, read(vcpu) ^ (bit << 4n));
    },
  };
}

const CR3: WatchedRegister = {
  register: 'cr3',
  name: registerName('cr3'),
  survivesInit: false,
  read: ({ registers }) => registers.cr3,
  write: (vcpu, value) => vcpu.movToCr(3, value),
  other: (value) => value ^ PCD,
  prepare: () => {},
};

/** The register of the contract as the kit's guest has it. */
export function watched(register: PinnableRegister): WatchedRegister {
  if (typeof register === 'object') return modelSpecific(register.msr);
  if (register === 'cr3') return CR3;
  return register === 'gdtr' || register === 'idtr' ? table(register) : selector(register);
}

/** All that the kit knows, whatever is declared. */
export const WATCHED_REGISTERS: readonly WatchedRegister[] = [
  CR3,
  table('gdtr'),
  table('idtr'),
  selector('ldtr'),
  selector('tr'),
  ...MSRS.map(modelSpecific),
];

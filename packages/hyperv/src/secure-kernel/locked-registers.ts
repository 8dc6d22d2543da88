import { HvCrIntercept, HvRegister } from '@heki/hypercall/hyperv';
import {
  type PinnableRegister,
  type PinRequest,
  type PinResult,
  type ProtectionState,
  registerName,
  type VcpuPins,
} from '@heki/hypervisor';
import type { StateDigest } from '@heki/physical-memory';
import { CR0, CR4 } from '@heki/x86';
import { MSR_REGISTERS, msrOfRegister, TABLE_REGISTERS } from '../intercept/register-names.ts';
import type { Vtl1 } from './vtl1-port.ts';

/** Bits of CR0 that are locked: LVBS pins PE, WP and PG. */
export const CR0_LOCKED = CR0.PE | CR0.WP | CR0.PG;
/** All bits of CR4 but those that a running kernel changes. */
export const CR4_LOCKED = 0xffff_ffff_ffff_ffffn & ~(CR4.MCE | CR4.PGE | CR4.PCE | CR4.VMXE);
/** All others that can be locked, each as a whole. */
export const LOCKABLE_REGISTERS: readonly PinnableRegister[] = [
  ...TABLE_REGISTERS.map(([, name]) => name),
  ...MSR_REGISTERS.map(([, msr]) => ({ msr })),
];
/** Everything that LOCK_REGS locks. */
export const LOCK_ALL: Required<PinRequest> = {
  cr0: CR0_LOCKED,
  cr4: CR4_LOCKED,
  registers: LOCKABLE_REGISTERS,
};

/** The name in the hypervisor's tables of a register of the contract, and its intercept bit. */
function rowOf(register: PinnableRegister): readonly [name: number, bit: bigint] | undefined {
  if (typeof register === 'object') {
    const row = MSR_REGISTERS.find(([, msr]) => msr === register.msr);
    return row && [row[0], row[2]];
  }
  const row = TABLE_REGISTERS.find(([, name]) => name === register);
  return row && [row[0], row[2]];
}

/** The name in the contract of a register of the hypervisor's tables. */
function nameOf(register: number): string {
  if (register === HvRegister.CR0) return 'cr0';
  if (register === HvRegister.CR4) return 'cr4';
  const table = TABLE_REGISTERS.find(([name]) => name === register)?.[1];
  return table ?? registerName({ msr: msrOfRegister(register) ?? 0 });
}

/** The registers that VTL1 keeps as they were when it locked them, on each virtual processor. */
export interface LockedRegisters {
  lock(vtl1: Vtl1, request: PinRequest): PinResult;
  /** Whether VTL0 may write `value`. */
  allows(vtl1: Vtl1, vp: number, register: number, value: bigint): boolean;
  /** A virtual processor took INIT or is new: what it does not have yet, it may come to. */
  started(vtl1: Vtl1, vp: number): void;
  /** Forgets every lock and the intercepts for them. */
  clear(vtl1: Vtl1): void;
  /** What each virtual processor must have, and may still come to. */
  save(): VcpuPins[];
  /** What brings back the locks of now; intercepts have a checkpoint of their own. */
  checkpoint(): () => void;
  /** Tells `digest` the locks of now. */
  digest(digest: StateDigest): void;
  /** Locks what `state` says, with the values that it has for each virtual processor, or those that registers have now. */
  replace(vtl1: Vtl1, state: Pick<ProtectionState, 'cr0' | 'cr4' | 'registers' | 'vcpus'>): void;
  readonly cr0: bigint;
  readonly cr4: bigint;
  readonly registers: readonly PinnableRegister[];
}

export function createLockedRegisters(): LockedRegisters {
  let cr0 = 0n;
  let cr4 = 0n;
  let registers: readonly PinnableRegister[] = [];
  /** What each register of each processor must be, by `vp register`. */
  const saved = new Map<string, bigint>();
  const starting = new Set<string>();
  const key = (vp: number, register: number): string => `${vp} ${register}`;
  const maskOf = (register: number): bigint =>
    register === HvRegister.CR0 ? cr0 : register === HvRegister.CR4 ? cr4 : ~0n;
  const names = (): number[] => [
    ...(cr0 === 0n ? [] : [HvRegister.CR0]),
    ...(cr4 === 0n ? [] : [HvRegister.CR4]),
    ...registers.flatMap((register) => rowOf(register)?.[0] ?? []),
  ];

  function configure(vtl1: Vtl1, vp: number): void {
    let control = (cr0 === 0n ? 0n : HvCrIntercept.CR0_WRITE) | (cr4 === 0n ? 0n : HvCrIntercept.CR4_WRITE);
    for (const register of registers) control |= rowOf(register)?.[1] ?? 0n;
    vtl1.set(
      vp,
      1,
      { name: HvRegister.CR_INTERCEPT_CR0_MASK, value: cr0 },
      { name: HvRegister.CR_INTERCEPT_CR4_MASK, value: cr4 },
      { name: HvRegister.CR_INTERCEPT_CONTROL, value: control },
    );
  }

  /** Takes the values of what is locked newly; bits that are locked already keep theirs. */
  function save(vtl1: Vtl1, vp: number, oldMasks: ReadonlyMap<number, bigint>): void {
    for (const register of names()) {
      const now = vtl1.get(vp, 0, register) ?? 0n;
      const kept = oldMasks.get(register) ?? 0n;
      const before = saved.get(key(vp, register)) ?? 0n;
      saved.set(key(vp, register), ((before & kept) | (now & ~kept)) & maskOf(register));
    }
  }

  const locked: LockedRegisters = {
    get cr0() {
      return cr0;
    },
    get cr4() {
      return cr4;
    },
    get registers() {
      return registers;
    },
    lock(vtl1, request) {
      const oldMasks = new Map(names().map((name) => [name, maskOf(name)]));
      const wanted = request.registers ?? [];
      const known = wanted.filter((register) => rowOf(register) !== undefined);
      const have = new Set(registers.map((register) => rowOf(register)?.[0]));
      cr0 |= (request.cr0 ?? 0n) & CR0_LOCKED;
      cr4 |= (request.cr4 ?? 0n) & CR4_LOCKED;
      registers = [...registers, ...known.filter((register) => !have.has(rowOf(register)?.[0]))];
      for (let vp = 0; vp < vtl1.processors; vp++) {
        save(vtl1, vp, oldMasks);
        configure(vtl1, vp);
      }
      return {
        cr0,
        cr4,
        registers,
        dropped: {
          cr0: (request.cr0 ?? 0n) & ~CR0_LOCKED,
          cr4: (request.cr4 ?? 0n) & ~CR4_LOCKED,
          registers: wanted.filter((register) => !known.includes(register)),
        },
      };
    },
    allows(vtl1, vp, register, value) {
      const must = saved.get(key(vp, register));
      if (must === undefined) return true;
      const now = vtl1.get(vp, 0, register) ?? 0n;
      if ((now & maskOf(register)) === must) starting.delete(key(vp, register));
      if ((value & maskOf(register)) === must) {
        const table = TABLE_REGISTERS.some(([name]) => name === register);
        // LVBS lets no load of a table register through again, not even with the same value.
        return starting.delete(key(vp, register)) || !table;
      }
      // With paging on, CR0 must be what it was: a processor that took INIT is not a way around the lock.
      return starting.has(key(vp, register)) && !(register === HvRegister.CR0 && (value & CR0.PG) !== 0n);
    },
    started(vtl1, vp) {
      for (const register of names()) {
        const now = vtl1.get(vp, 0, register) ?? 0n;
        // A new processor must become as the boot processor is.
        const must = saved.get(key(vp, register)) ?? saved.get(key(0, register)) ?? now & maskOf(register);
        saved.set(key(vp, register), must);
        if ((now & maskOf(register)) !== must) starting.add(key(vp, register));
      }
      configure(vtl1, vp);
    },
    save() {
      const vcpus: VcpuPins[] = [];
      for (const at of [...saved.keys(), ...starting]) {
        const vcpu = Number(at.split(' ')[0]);
        if (vcpus.some((pins) => pins.vcpu === vcpu)) continue;
        const known = names().filter((register) => saved.has(key(vcpu, register)));
        const values = known.map((register) => [nameOf(register), saved.get(key(vcpu, register)) ?? 0n]);
        const unmet = names().filter((register) => starting.has(key(vcpu, register)));
        vcpus.push({
          vcpu,
          ...(unmet.length === 0 ? {} : { starting: unmet.map(nameOf) }),
          ...(values.length === 0 ? {} : { values: Object.fromEntries(values) }),
        });
      }
      return vcpus.sort((a, b) => a.vcpu - b.vcpu);
    },
    replace(vtl1, state) {
      cr0 = state.cr0;
      cr4 = state.cr4;
      registers = state.registers ?? [];
      saved.clear();
      starting.clear();
      for (let vp = 0; vp < vtl1.processors; vp++) save(vtl1, vp, new Map());
      for (const { vcpu, values = {}, starting: unmet = [] } of state.vcpus ?? []) {
        for (const register of names()) {
          const value = values[nameOf(register)];
          if (value !== undefined) saved.set(key(vcpu, register), value & maskOf(register));
          if (unmet.includes(nameOf(register))) starting.add(key(vcpu, register));
        }
      }
      for (let vp = 0; vp < vtl1.processors; vp++) configure(vtl1, vp);
    },
    clear(vtl1) {
      cr0 = 0n;
      cr4 = 0n;
      registers = [];
      saved.clear();
      starting.clear();
      for (let vp = 0; vp < vtl1.processors; vp++) configure(vtl1, vp);
    },
    checkpoint() {
      const kept = { cr0, cr4, registers, saved: [...saved], starting: [...starting] };
      return () => {
        ({ cr0, cr4, registers } = kept);
        saved.clear();
        for (const [name, value] of kept.saved) saved.set(name, value);
        starting.clear();
        for (const name of kept.starting) starting.add(name);
      };
    },
    digest(digest) {
      digest.addU64(cr0);
      digest.addU64(cr4);
      for (const register of registers) digest.addText(registerName(register));
      for (const { vcpu, starting: unmet = [], values = {} } of locked.save())
        digest.addText(`${vcpu} ${unmet} ${Object.entries(values)}`);
    },
  };
  return locked;
}

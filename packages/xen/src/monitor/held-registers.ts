import { type PinnableRegister, registerName, type VcpuPins } from '@heki/hypervisor';
import type { Vcpu } from '@heki/vcpu';

/** Registers that the monitor keeps as a whole: each virtual CPU has them as they were when they were pinned. */
export interface HeldRegisters {
  readonly all: readonly PinnableRegister[];
  has(register: PinnableRegister): boolean;
  /** Adds to what is kept. */
  hold(registers: readonly PinnableRegister[]): void;
  /** Forgets all, and keeps `registers`: with the values of `vcpus`, or those that they have now. */
  replace(registers: readonly PinnableRegister[], vcpus?: readonly VcpuPins[]): void;
  /** What each register of a virtual CPU must be, by name, and those that it may still come to. */
  save(vcpu: number): Required<Pick<VcpuPins, 'values' | 'starting'>>;
  /**
   * Whether the virtual CPU may load `value`; `undefined` when the event does not say what is loaded. One that took INIT may, until it
   * has what it had: its trampoline comes to it in steps.
   */
  allows(vcpu: number, register: PinnableRegister, value: bigint | undefined): boolean;
  /** INIT. */
  unbind(vcpu: number): void;
  /** What brings back what is kept now. */
  checkpoint(): () => void;
}

export const sameRegister = (a: PinnableRegister, b: PinnableRegister): boolean =>
  a === b || (typeof a === 'object' && typeof b === 'object' && a.msr === b.msr);

/** @param vcpus the domain's: the monitor reads registers with XEN_DOMCTL_gethvmcontext */
export function createHeldRegisters(vcpus: readonly Vcpu[]): HeldRegisters {
  let all: readonly PinnableRegister[] = [];
  /** What each must be, by `vcpu register`. */
  const values = new Map<string, bigint>();
  const unbound = new Set<string>();
  const key = (vcpu: number, register: PinnableRegister): string =>
    `${vcpu} ${typeof register === 'string' ? register : register.msr}`;

  const held: HeldRegisters = {
    get all() {
      return all;
    },
    has: (register) => all.some((other) => sameRegister(register, other)),
    hold(registers) {
      const added = registers.filter((register) => !held.has(register));
      all = [...all, ...added];
      for (const register of added) {
        for (const [id, vcpu] of vcpus.entries()) values.set(key(id, register), read(vcpu, register));
      }
    },
    replace(registers, saved = []) {
      all = [];
      values.clear();
      unbound.clear();
      held.hold(registers);
      for (const { vcpu, values: had = {}, starting = [] } of saved) {
        for (const register of all) {
          const value = had[registerName(register)];
          if (value !== undefined) values.set(key(vcpu, register), value);
          if (starting.includes(registerName(register))) unbound.add(key(vcpu, register));
        }
      }
    },
    save(vcpu) {
      const known = all.flatMap((register) => {
        const value = values.get(key(vcpu, register));
        return value === undefined ? [] : [[registerName(register), value] as const];
      });
      const starting = all.filter((register) => unbound.has(key(vcpu, register))).map(registerName);
      return { values: Object.fromEntries(known), starting };
    },
    allows(id, register, value) {
      const vcpu = vcpus[id];
      if (!held.has(register) || vcpu === undefined) return true;
      // A virtual CPU that was created later becomes as the first one is.
      const must = values.get(key(id, register)) ?? values.get(key(0, register));
      if (read(vcpu, register) === must) unbound.delete(key(id, register));
      return value === must || unbound.has(key(id, register));
    },
    unbind(id) {
      for (const register of all) unbound.add(key(id, register));
    },
    checkpoint() {
      const kept = { all, values: [...values], unbound: [...unbound] };
      return () => {
        all = kept.all;
        values.clear();
        for (const [name, value] of kept.values) values.set(name, value);
        unbound.clear();
        for (const name of kept.unbound) unbound.add(name);
      };
    },
  };
  return held;
}

function read(vcpu: Vcpu, register: PinnableRegister): bigint {
  const { registers } = vcpu;
  if (typeof register === 'object') return vcpu.emulateRdmsr(register.msr) ?? 0n;
  switch (register) {
    case 'cr3':
      return registers.cr3;
    case 'ldtr':
    case 'tr':
      return BigInt(registers[register]);
    case 'gdtr':
    case 'idtr': {
      const { base = 0n, limit = 0 } = registers[register] ?? {};
      return base | (BigInt(limit) << 64n);
    }
  }
}

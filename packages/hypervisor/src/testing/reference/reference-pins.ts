import type { Vcpu, VmExit } from '@heki/vcpu';
import type { Capabilities, PinnableRegister } from '../../capabilities.ts';
import { registerName } from '../../capabilities.ts';
import { watched } from '../../conformance/watched-register.ts';
import type { PinRequest, PinResult } from '../../result.ts';
import type { ProtectionState, VcpuPins } from '../../state.ts';

const ALL_BITS = (1n << 64n) - 1n;

/** A write of a register that left the guest. */
export interface RegisterWrite {
  /** `cr0`, `cr4`, or as {@link registerName} has it. */
  readonly name: string;
  readonly old: bigint;
  readonly value: bigint;
  /** Carries it out; `undefined` when the processor takes the value. */
  perform(): ReturnType<Vcpu['emulateMovToCr']>;
}

/** Pins as `kept` has them: every bit and register of it, with its meaning. */
export interface ReferencePins {
  readonly cr0: bigint;
  readonly cr4: bigint;
  readonly registers: readonly PinnableRegister[];
  pin(vcpus: readonly Vcpu[], request: PinRequest): PinResult;
  clear(vcpus: readonly Vcpu[]): void;
  /** Sets what exits on a virtual CPU. */
  watch(vcpu: Vcpu): void;
  /** The write that an exit is about, if it is one. */
  writeOf(vcpu: Vcpu, exit: VmExit): RegisterWrite | undefined;
  allows(vcpu: Vcpu, write: Pick<RegisterWrite, 'name' | 'old' | 'value'>): boolean;
  /** What each virtual CPU must have, and may still come to. */
  save(): VcpuPins[];
  /** Pins what `state` says, with its values. */
  replace(vcpus: readonly Vcpu[], state: ProtectionState): void;
  /** INIT: a processor may come to what it had. */
  unbind(vcpu: Vcpu): void;
}

export function createReferencePins({ pins: kept }: Capabilities): ReferencePins {
  let cr0 = 0n;
  let cr4 = 0n;
  let registers: readonly PinnableRegister[] = [];
  /** By `vcpu register`. */
  const values = new Map<string, bigint>();
  const starting = new Set<string>();
  const key = ({ id }: { readonly id: number }, name: string): string => `${id} ${name}`;
  const maskOf = (name: string): bigint => (name === 'cr0' ? cr0 : name === 'cr4' ? cr4 : ALL_BITS);
  const isKept = (register: PinnableRegister): boolean =>
    kept.registers.some((each) => registerName(each) === registerName(register));
  const names = (): string[] => ['cr0', 'cr4', ...registers.map(registerName)];

  function currentOf(vcpu: Vcpu, name: string): bigint {
    if (name === 'cr0' || name === 'cr4') return vcpu.registers[name];
    const register = registers.find((each) => registerName(each) === name);
    return register === undefined ? 0n : watched(register).read(vcpu);
  }

  const pins: ReferencePins = {
    get cr0() {
      return cr0;
    },
    get cr4() {
      return cr4;
    },
    get registers() {
      return registers;
    },
    pin(vcpus, request) {
      const before = names();
      const had = { cr0, cr4 };
      cr0 |= (request.cr0 ?? 0n) & kept.cr0;
      cr4 |= (request.cr4 ?? 0n) & kept.cr4;
      const wanted = request.registers ?? [];
      registers = [
        ...new Map(
          [...registers, ...wanted.filter(isKept)].map((each) => [registerName(each), each]),
        ).values(),
      ];
      for (const vcpu of vcpus) {
        for (const name of names()) {
          const changed = (name === 'cr0' && cr0 !== had.cr0) || (name === 'cr4' && cr4 !== had.cr4);
          if (changed || !before.includes(name)) values.set(key(vcpu, name), currentOf(vcpu, name));
        }
        pins.watch(vcpu);
      }
      return {
        cr0,
        cr4,
        registers,
        dropped: {
          cr0: (request.cr0 ?? 0n) & ~kept.cr0,
          cr4: (request.cr4 ?? 0n) & ~kept.cr4,
          registers: wanted.filter((register) => !isKept(register)),
        },
      };
    },
    save() {
      const ids = new Set([...values.keys(), ...starting].map((at) => Number(at.split(' ')[0])));
      return [...ids]
        .sort((a, b) => a - b)
        .map((id) => ({
          vcpu: id,
          starting: names().filter((name) => starting.has(key({ id }, name))),
          values: Object.fromEntries(
            names().flatMap((name) => {
              const value = values.get(key({ id }, name));
              return value === undefined ? [] : [[name, value]];
            }),
          ),
        }));
    },
    replace(vcpus, state) {
      pins.clear(vcpus);
      pins.pin(vcpus, state);
      for (const { vcpu: id, starting: unmet = [], values: had = {} } of state.vcpus ?? []) {
        for (const name of unmet) starting.add(key({ id }, name));
        for (const [name, value] of Object.entries(had)) values.set(key({ id }, name), value);
      }
    },
    clear(vcpus) {
      cr0 = 0n;
      cr4 = 0n;
      registers = [];
      values.clear();
      starting.clear();
      for (const vcpu of vcpus) pins.watch(vcpu);
    },
    watch({ controls, registers: { cr0: own0, cr4: own4 } }) {
      controls.cr0Mask = cr0 === 0n ? 0n : ALL_BITS;
      controls.cr4Mask = cr4 === 0n ? 0n : ALL_BITS;
      controls.cr0Shadow = own0;
      controls.cr4Shadow = own4;
      controls.cr3LoadExiting = registers.includes('cr3');
      controls.descriptorTableExiting = registers.some((each) => typeof each === 'string' && each !== 'cr3');
      controls.writeExitingMsrs = new Set(
        registers.flatMap((each) => (typeof each === 'object' ? [each.msr] : [])),
      );
    },
    writeOf: writeOfExit,
    allows(vcpu, { name, old, value }) {
      if (!names().includes(name)) return true;
      const mask = maskOf(name);
      if (mask === 0n) return true;
      const isControl = name === 'cr0' || name === 'cr4';
      if (isControl && kept.semantics === 'set-bits-stay-set') return (old & mask & ~value) === 0n;
      const whole = isControl && kept.semantics === 'exact-value' ? mask : ALL_BITS;
      const must = (values.get(key(vcpu, name)) ?? values.get(key({ id: 0 }, name)) ?? old) & whole;
      if ((old & whole) === must) starting.delete(key(vcpu, name));
      return (value & whole) === must || starting.has(key(vcpu, name));
    },
    unbind(vcpu) {
      for (const name of names()) starting.add(key(vcpu, name));
      pins.watch(vcpu);
    },
  };
  return pins;
}

function writeOfExit(vcpu: Vcpu, exit: VmExit): RegisterWrite | undefined {
  const { registers } = vcpu;
  switch (exit.reason) {
    case 'mov-to-cr': {
      const name = `cr${exit.cr}` as const;
      const { cr, value } = exit;
      return { name, old: registers[name], value, perform: () => vcpu.emulateMovToCr(cr, value) };
    }
    case 'wrmsr': {
      const { msr, value } = exit;
      const old = vcpu.emulateRdmsr(msr) ?? 0n;
      return { name: registerName({ msr }), old, value, perform: () => vcpu.emulateWrmsr(msr, value) };
    }
    case 'descriptor-table': {
      const { register, limit = 0 } = exit;
      const value = exit.value | (BigInt(limit) << 64n);
      const perform = () => vcpu.emulateDescriptorLoad(exit);
      return { name: register, old: watched(register).read(vcpu), value, perform };
    }
    default:
      return undefined;
  }
}

import { CR0_PIN_REQUIRED, CR4_PINNED_MASK } from '@heki/hypercall/kvm';
import {
  type PinRequest,
  type PinResult,
  type ProtectionState,
  registerName,
  type VcpuPins,
} from '@heki/hypervisor';
import type { StateDigest } from '@heki/physical-memory';
import type { Vcpu } from '@heki/vcpu';
import { CR0 } from '@heki/x86';
import { PINNABLE_REGISTERS } from '../capabilities.ts';
import { createHeldRegisters, type HeldRegisters, sameRegister } from './held-registers.ts';

/** The registers that the monitor keeps. Bits that are pinned stay set; other registers keep their value. */
export interface Pins {
  readonly cr0: bigint;
  readonly cr4: bigint;
  /** All others that are pinned. */
  readonly held: HeldRegisters;
  /** Adds to the pins. */
  add(request: PinRequest): PinResult;
  /** Whether the virtual CPU may write `value`. One that took INIT is bound again once it pages, or met its pin. */
  allows(vcpu: number, cr: 0 | 4, value: bigint): boolean;
  /** INIT. */
  unbind(vcpu: number): void;
  replace(state: Pick<ProtectionState, 'cr0' | 'cr4' | 'registers' | 'vcpus'>): void;
  /** What the pins mean for virtual CPUs that have a past. */
  save(): VcpuPins[];
  /** What brings back the pins of now. */
  checkpoint(): () => void;
  /** Tells `digest` all of now. */
  digest(digest: StateDigest): void;
}

export function createPins(vcpus: readonly Vcpu[]): Pins {
  let bits = { cr0: 0n, cr4: 0n };
  const held = createHeldRegisters(vcpus);
  const unbound = new Set<string>();
  const pins: Pins = {
    get cr0() {
      return bits.cr0;
    },
    get cr4() {
      return bits.cr4;
    },
    held,
    add({ cr0 = 0n, cr4 = 0n, registers = [] }) {
      bits = { cr0: bits.cr0 | (cr0 & CR0_PIN_REQUIRED), cr4: bits.cr4 | (cr4 & CR4_PINNED_MASK) };
      // A processor that took INIT before there was a pin has started since, without an event.
      for (const [vcpu, { registers: has }] of vcpus.entries()) {
        for (const name of ['cr0', 'cr4'] as const) {
          if ((has[name] & bits[name]) === bits[name]) unbound.delete(`${vcpu} ${name}`);
        }
      }
      const known = registers.filter((register) =>
        PINNABLE_REGISTERS.some((other) => sameRegister(register, other)),
      );
      held.hold(known);
      return {
        ...bits,
        registers: held.all,
        dropped: {
          cr0: cr0 & ~CR0_PIN_REQUIRED,
          cr4: cr4 & ~CR4_PINNED_MASK,
          registers: registers.filter((register) => !known.includes(register)),
        },
      };
    },
    allows(vcpu, cr, value) {
      const wanted = cr === 0 ? bits.cr0 : bits.cr4;
      const key = `${vcpu} cr${cr}`;
      if ((value & wanted) === wanted) {
        unbound.delete(key);
        return true;
      }
      return unbound.has(key) && !(cr === 0 && (value & CR0.PG) !== 0n);
    },
    unbind(vcpu) {
      unbound.add(`${vcpu} cr0`);
      unbound.add(`${vcpu} cr4`);
      held.unbind(vcpu);
    },
    replace({ cr0, cr4, registers = [], vcpus: saved = [] }) {
      bits = { cr0, cr4 };
      unbound.clear();
      for (const { vcpu, starting = [] } of saved) {
        for (const name of ['cr0', 'cr4']) if (starting.includes(name)) unbound.add(`${vcpu} ${name}`);
      }
      held.replace(registers, saved);
    },
    save: () =>
      vcpus.flatMap((_, vcpu) => {
        const { values, starting } = held.save(vcpu);
        const names = ['cr0', 'cr4'].filter((name) => unbound.has(`${vcpu} ${name}`));
        const unmet = [...names, ...starting];
        if (unmet.length === 0 && Object.keys(values).length === 0) return [];
        return [{ vcpu, ...(unmet.length === 0 ? {} : { starting: unmet }), values }];
      }),
    checkpoint() {
      const kept = { bits, unbound: [...unbound], held: held.checkpoint() };
      return () => {
        bits = kept.bits;
        unbound.clear();
        for (const name of kept.unbound) unbound.add(name);
        kept.held();
      };
    },
    digest(digest) {
      digest.addU64(bits.cr0);
      digest.addU64(bits.cr4);
      for (const register of held.all) digest.addText(registerName(register));
      for (const { vcpu, starting = [], values = {} } of pins.save())
        digest.addText(`${vcpu} ${starting} ${Object.entries(values)}`);
    },
  };
  return pins;
}

import type { VirtualAddress } from '@heki/physical-memory';
import { CR4 } from '@heki/x86';
import { Vector } from '../exceptions/exception.ts';
import type { Processor } from '../processor.ts';
import { fitsRegister, isCanonicalAddress } from '../registers/canonical-address.ts';
import type { DescriptorTable } from '../registers/registers.ts';
import { Attempt } from './attempt.ts';
import { SystemOperation } from './operation.ts';

const LENGTH = 3n;
/** Bytes of a gate, and of an LDT or TSS descriptor, in 64-bit mode. */
const SYSTEM_DESCRIPTOR = 16;
/** System-descriptor types (SDM 3A table 3-2). */
const TYPE_LDT = 2;
const TYPE_AVAILABLE_TSS = 9;
const BUSY = 2;
const INTERRUPT_GATE = 14;
const TRAP_GATE = 15;
/** Of byte 5 of a descriptor: S and type; P. */
const TYPE_MASK = 0x1f;
const PRESENT = 0x80;
/** TI of a selector: it names a descriptor of the LDT. */
const LOCAL = 4;
/** What an error code takes of a selector: all but the RPL (SDM 3A 6.13). */
const SELECTOR_ERROR = 0xfffc;
/** IDT and EXT bits of the error code of a fault in delivering an exception (SDM 3A 6.13). */
const IDT_EXTERNAL = 3;
const EXTERNAL = 1;

function system(text: () => string, attempt: (cpu: Processor) => Attempt): SystemOperation<undefined> {
  return new SystemOperation(text, LENGTH, undefined, (cpu) =>
    cpu.registers.cpl === 0 ? attempt(cpu) : cpu.protectionFault(),
  );
}

/** LGDT and LIDT. The operand in memory is given as it reads. */
export function loadTable(
  register: 'gdtr' | 'idtr',
  base: VirtualAddress,
  limit: number,
): SystemOperation<undefined> {
  return system(
    () => `l${register.slice(0, 3)} 0x${base.toString(16)}, 0x${limit.toString(16)}`,
    (cpu) => {
      if (cpu.controls.descriptorTableExiting) {
        return cpu.trap.leave({ reason: 'descriptor-table', register, value: base, limit });
      }
      return takeTable(cpu, register, base, limit);
    },
  );
}

/** Registers that these give are readable by user code unless UMIP hides them (SDM 3A 2.5). They never exit here. */
function store<Value>(
  mnemonic: string,
  nothing: Value,
  read: (cpu: Processor) => Value,
): SystemOperation<Value> {
  return new SystemOperation(
    () => mnemonic,
    LENGTH,
    nothing,
    (cpu, self) => {
      const { cpl, cr4 } = cpu.registers;
      if (cpl !== 0 && (cr4 & CR4.UMIP) !== 0n) return cpu.protectionFault();
      self.value = read(cpu);
      return Attempt.DONE;
    },
  );
}

/** SGDT and SIDT; the IDTR of a guest that has loaded none is as after RESET. */
export function storeTable(register: 'gdtr' | 'idtr'): SystemOperation<DescriptorTable> {
  const reset: DescriptorTable = { base: 0n as VirtualAddress, limit: 0xffff };
  return store(`s${register.slice(0, 3)}`, reset, ({ registers }) => registers[register] ?? reset);
}

/** SLDT and STR. */
export function storeSelector(register: 'ldtr' | 'tr'): SystemOperation<bigint> {
  return store(register === 'tr' ? 'str' : 'sldt', 0n, ({ registers }) => BigInt(registers[register]));
}

/** What LGDT and LIDT do when they do not exit. */
export function takeTable(
  cpu: Processor,
  register: 'gdtr' | 'idtr',
  base: VirtualAddress,
  limit: number,
): Attempt {
  if (!fitsRegister(base, cpu.processor)) return cpu.protectionFault();
  cpu.registers[register] = { base, limit };
  return Attempt.DONE;
}

/** LLDT and LTR: the descriptor is read from the GDT, and LTR marks it busy there. */
export function loadSelector(register: 'ldtr' | 'tr', selector: number): SystemOperation<undefined> {
  return system(
    () => `l${register === 'tr' ? 'tr' : 'ldt'} 0x${selector.toString(16)}`,
    (cpu) => {
      if (cpu.controls.descriptorTableExiting) {
        return cpu.trap.leave({ reason: 'descriptor-table', register, value: BigInt(selector) });
      }
      return takeSelector(cpu, register, selector);
    },
  );
}

/** What LLDT and LTR do when they do not exit. */
export function takeSelector(cpu: Processor, register: 'ldtr' | 'tr', selector: number): Attempt {
  const status = checkSelector(cpu, register, selector);
  if (status === Attempt.DONE) cpu.registers[register] = selector;
  return status;
}

function checkSelector(cpu: Processor, register: 'ldtr' | 'tr', selector: number): Attempt {
  const { trap, registers } = cpu;
  const errorCode = selector & SELECTOR_ERROR;
  if (errorCode === 0) return register === 'ldtr' ? Attempt.DONE : cpu.protectionFault();
  const { base, limit } = registers.gdtr;
  const index = selector & 0xfff8;
  const inGdt = (selector & LOCAL) === 0 && index + SYSTEM_DESCRIPTOR - 1 <= limit;
  if (!inGdt) return trap.raise(Vector.GP, errorCode);
  const descriptor = new Uint8Array(SYSTEM_DESCRIPTOR);
  const at = BigInt.asUintN(64, base + BigInt(index)) as VirtualAddress;
  const status = cpu.readSystem(at, descriptor);
  if (status !== Attempt.DONE) return status;
  const view = new DataView(descriptor.buffer);
  const access = view.getUint8(5);
  const type = access & TYPE_MASK;
  // The upper half has no type, so that it is not taken for a descriptor of its own (SDM 3A 3.5.2).
  const upperType = view.getUint8(13) & TYPE_MASK;
  if (type !== (register === 'ldtr' ? TYPE_LDT : TYPE_AVAILABLE_TSS) || upperType !== 0) {
    return trap.raise(Vector.GP, errorCode);
  }
  if ((access & PRESENT) === 0) return trap.raise(Vector.NP, errorCode);
  if (!fitsRegister(baseOf(view), cpu.processor)) return trap.raise(Vector.GP, errorCode);
  // An implicit supervisor write to the GDT.
  return register === 'tr' ? cpu.setSystemBits((at + 5n) as VirtualAddress, BUSY) : Attempt.DONE;
}

/** The 64-bit base in the descriptor of an LDT or TSS. */
function baseOf(view: DataView): bigint {
  const low = BigInt(view.getUint32(2, true) & 0xff_ffff) | (BigInt(view.getUint8(7)) << 24n);
  return low | (BigInt(view.getUint32(8, true)) << 32n);
}

/** A gate of the IDT. */
export interface Gate {
  readonly handler: VirtualAddress;
  /** An interrupt gate clears RFLAGS.IF; a trap gate does not. */
  readonly clearsInterruptFlag: boolean;
}

/**
 * Reads the gate of `vector`, as delivery does (SDM 3A 6.14.1). Gives the gate, or how the delivery failed; `undefined`
 * when no IDT was ever loaded.
 */
export function readGate(cpu: Processor, vector: number): Gate | undefined | Attempt {
  const { idtr } = cpu.registers;
  if (idtr === undefined) return undefined;
  const index = vector * SYSTEM_DESCRIPTOR;
  const errorCode = vector * 8 + IDT_EXTERNAL;
  if (index + SYSTEM_DESCRIPTOR - 1 > idtr.limit) return cpu.trap.raise(Vector.GP, errorCode);
  const bytes = new Uint8Array(SYSTEM_DESCRIPTOR);
  const status = cpu.readSystem((idtr.base + BigInt(index)) as VirtualAddress, bytes);
  if (status !== Attempt.DONE) return status;
  const access = bytes[5] ?? 0;
  const type = access & TYPE_MASK;
  if (type !== INTERRUPT_GATE && type !== TRAP_GATE) return cpu.trap.raise(Vector.GP, errorCode);
  if ((access & PRESENT) === 0) return cpu.trap.raise(Vector.NP, errorCode);
  const view = new DataView(bytes.buffer);
  const handler =
    BigInt(view.getUint16(0, true)) |
    (BigInt(view.getUint16(6, true)) << 16n) |
    (BigInt(view.getUint32(8, true)) << 32n);
  if (!isCanonicalAddress(handler, cpu.levels)) return cpu.trap.raise(Vector.GP, EXTERNAL);
  return { handler: handler as VirtualAddress, clearsInterruptFlag: type === INTERRUPT_GATE };
}

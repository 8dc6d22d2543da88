import type { VirtualAddress, VirtualFrame } from '@heki/physical-memory';
import { CR0, CR4, EFER, RFLAGS } from '@heki/x86';
import { Vector } from '../exceptions/exception.ts';
import type { Processor } from '../processor.ts';
import { fitsRegister } from '../registers/canonical-address.ts';
import { Attempt } from './attempt.ts';
import { SystemOperation } from './operation.ts';
import type { HypercallInstruction, VmxInstruction } from './vmx-instruction.ts';

/** Bytes of RDMSR and WRMSR, of CLI and STI, of INVPCID, and of the others here. */
const MSR_LENGTH = 2n;
const FLAG_LENGTH = 1n;
const INVPCID_LENGTH = 5n;
const LENGTH = 3n;

const LOW_32 = 0xffff_ffffn;

function system(
  text: () => string,
  length: bigint,
  attempt: (cpu: Processor) => Attempt,
): SystemOperation<undefined> {
  return new SystemOperation(text, length, undefined, attempt);
}

/** An instruction that only CPL 0 may execute. */
function privileged(
  text: () => string,
  length: bigint,
  attempt: (cpu: Processor) => Attempt,
): SystemOperation<undefined> {
  return system(text, length, (cpu) => (cpu.registers.cpl === 0 ? attempt(cpu) : cpu.protectionFault()));
}

/** RDMSR: number in ECX, result in EDX:EAX. */
export function rdmsr(msr: number): SystemOperation<bigint> {
  return new SystemOperation(
    () => `rdmsr 0x${msr.toString(16)}`,
    MSR_LENGTH,
    0n,
    (cpu, self) => {
      const { registers, controls } = cpu;
      registers.rcx = BigInt(msr);
      if (registers.cpl !== 0) return cpu.protectionFault();
      if (controls.readExitingMsrs === 'all' || controls.readExitingMsrs.has(msr)) {
        return cpu.trap.leave({ reason: 'rdmsr', msr });
      }
      const value = cpu.readMsr(msr);
      if (value === undefined) return cpu.protectionFault();
      registers.rax = value & LOW_32;
      registers.rdx = value >> 32n;
      self.value = value;
      return Attempt.DONE;
    },
    (cpu, self) => {
      self.value = ((cpu.registers.rdx & LOW_32) << 32n) | (cpu.registers.rax & LOW_32);
    },
  );
}

/** WRMSR: number in ECX, value in EDX:EAX. */
export function wrmsr(msr: number, value: bigint): SystemOperation<undefined> {
  return system(
    () => `wrmsr 0x${msr.toString(16)}, 0x${value.toString(16)}`,
    MSR_LENGTH,
    (cpu) => {
      const { registers, controls } = cpu;
      registers.rcx = BigInt(msr);
      registers.rax = value & LOW_32;
      registers.rdx = value >> 32n;
      if (registers.cpl !== 0) return cpu.protectionFault();
      if (controls.writeExitingMsrs === 'all' || controls.writeExitingMsrs.has(msr)) {
        return cpu.trap.leave({ reason: 'wrmsr', msr, value });
      }
      return cpu.writeMsr(msr, value) ? Attempt.DONE : cpu.protectionFault();
    },
  );
}

/** VMCALL or VMMCALL; the hypervisor sees the CPL, and refuses it itself if it wants to. The other vendor's is #UD. */
export function vmcall(instruction?: HypercallInstruction): SystemOperation<undefined> {
  return system(
    () => instruction ?? 'vmcall',
    LENGTH,
    ({ controls, trap, processor }) => {
      const own = processor.vendor === 'amd' ? 'vmmcall' : 'vmcall';
      return controls.hypercallExiting && (instruction ?? own) === own
        ? trap.leave({ reason: 'hypercall' })
        : trap.raise(Vector.UD, 0);
    },
  );
}

/**
 * An instruction of VMX in a guest: it exits before CPL and operands are looked at, but outside of protected mode and in compatibility
 * mode it is undefined first (SDM 3C 26.1.2, 32.3).
 */
export function vmx(instruction: VmxInstruction): SystemOperation<undefined> {
  return system(
    () => instruction,
    LENGTH,
    ({ controls, trap, processor, registers: { cr0, efer, codeSegment64 } }) => {
      const knows = controls.hypercallExiting && processor.vendor === 'intel';
      const compatibility = (efer & EFER.LMA) !== 0n && !codeSegment64;
      if (!knows || compatibility || (cr0 & CR0.PE) === 0n) return trap.raise(Vector.UD, 0);
      return trap.leave({ reason: 'vmx-instruction', instruction });
    },
  );
}

/** VMFUNC with EAX and ECX, at any CPL; `carryOut` is the VM function itself. */
export function vmfunc(carryOut: (leaf: number, index: number) => boolean): SystemOperation<undefined> {
  return system(
    () => 'vmfunc',
    LENGTH,
    (cpu) => {
      const { registers, controls, trap } = cpu;
      if (!controls.vmfunc) return trap.raise(Vector.UD, 0);
      const leaf = Number(registers.rax & LOW_32);
      const index = Number(registers.rcx & LOW_32);
      return carryOut(leaf, index) ? Attempt.DONE : trap.leave({ reason: 'vmfunc', leaf, index });
    },
  );
}

/** INVLPG; an address that is not canonical invalidates nothing. */
export function invlpg(va: VirtualAddress): SystemOperation<undefined> {
  return privileged(
    () => `invlpg 0x${va.toString(16)}`,
    LENGTH,
    (cpu) => {
      cpu.mmu.invalidateAddress(Number(va >> 12n) as VirtualFrame, 'invlpg');
      return Attempt.DONE;
    },
  );
}

/** INVPCID (SDM 2A INVPCID). */
export function invpcid(type: number, pcid: number, va: VirtualAddress): SystemOperation<undefined> {
  return system(
    () => `invpcid ${type}, pcid ${pcid}, 0x${va.toString(16)}`,
    INVPCID_LENGTH,
    (cpu) => {
      const { mmu, registers, processor } = cpu;
      if ((processor.cr4 & CR4.PCIDE) === 0n) return cpu.trap.raise(Vector.UD, 0);
      const named = type === 0 || type === 1;
      if (registers.cpl !== 0 || type > 3 || pcid > 0xfff) return cpu.protectionFault();
      if (named && pcid !== 0 && (registers.cr4 & CR4.PCIDE) === 0n) return cpu.protectionFault();
      if (type === 0 && !fitsRegister(va, processor)) return cpu.protectionFault();
      if (type === 0) mmu.invalidateAddress(Number(va >> 12n) as VirtualFrame, 'invpcid', pcid, false);
      else mmu.invalidatePcid(type === 1 ? pcid : 'all', type === 2);
      return Attempt.DONE;
    },
  );
}

/** CLAC and STAC: #UD without SMAP, and outside CPL 0. */
export function writeAc(set: boolean): SystemOperation<undefined> {
  return system(
    () => (set ? 'stac' : 'clac'),
    LENGTH,
    (cpu) => {
      const { registers, processor } = cpu;
      if ((processor.cr4 & CR4.SMAP) === 0n || registers.cpl !== 0) return cpu.trap.raise(Vector.UD, 0);
      registers.rflags = set ? registers.rflags | RFLAGS.AC : registers.rflags & ~RFLAGS.AC;
      return Attempt.DONE;
    },
  );
}

/** CLI and STI, with IOPL 0. */
export function writeIf(set: boolean): SystemOperation<undefined> {
  return privileged(
    () => (set ? 'sti' : 'cli'),
    FLAG_LENGTH,
    ({ registers }) => {
      registers.rflags = set ? registers.rflags | RFLAGS.IF : registers.rflags & ~RFLAGS.IF;
      return Attempt.DONE;
    },
  );
}

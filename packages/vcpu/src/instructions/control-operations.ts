import type { VirtualAddress } from '@heki/physical-memory';
import { CR0, CR4 } from '@heki/x86';
import { Vector } from '../exceptions/exception.ts';
import type { Processor } from '../processor.ts';
import { Attempt } from './attempt.ts';
import { SystemOperation } from './operation.ts';

/** A control register that MOV reaches. */
export type ControlRegister = 0 | 2 | 3 | 4;

/** Bytes of MOV to and from control registers, LMSW and SMSW; of CLTS. */
const MOV_CR_LENGTH = 3n;
const CLTS_LENGTH = 2n;
/** The bits that LMSW can change: PE, MP, EM, TS. */
const MACHINE_STATUS = 0xfn;

/** What the guest reads: read shadows in the bits of the masks (SDM 3C 26.3). */
function guestView(cpu: Processor, cr: 0 | 4): bigint {
  const { registers, controls } = cpu;
  const real = cr === 0 ? registers.cr0 : registers.cr4;
  const mask = cr === 0 ? controls.cr0Mask : controls.cr4Mask;
  const shadow = cr === 0 ? controls.cr0Shadow : controls.cr4Shadow;
  return (shadow & mask) | (real & ~mask);
}

/** Whether a MOV exits (SDM 3C 26.1.3; APM 2 15.9). */
function movExits(cpu: Processor, cr: 0 | 3 | 4, source: bigint): boolean {
  const { controls, registers } = cpu;
  if (cr === 3) return controls.cr3LoadExiting;
  const { svm } = controls;
  if (cr === 4) {
    return svm === undefined ? ((source ^ controls.cr4Shadow) & controls.cr4Mask) !== 0n : svm.cr4Write;
  }
  if (svm === undefined) return ((source ^ controls.cr0Shadow) & controls.cr0Mask) !== 0n;
  if (svm.cr0Write) return true;
  return svm.cr0Selective && ((source ^ registers.cr0) & ~(CR0.TS | CR0.MP)) !== 0n;
}

/** Writes the bits of CR0 or CR4 that the guest owns; the others keep what the host gave them. */
function writeGuestOwned(cpu: Processor, cr: 0 | 4, source: bigint): Attempt {
  const { controls, registers } = cpu;
  const mask = cr === 0 ? controls.cr0Mask : controls.cr4Mask;
  const real = cr === 0 ? registers.cr0 : registers.cr4;
  return cpu.writeCr(cr, (source & ~mask) | (real & mask)) ? Attempt.DONE : cpu.protectionFault();
}

function system(
  text: () => string,
  length: bigint,
  attempt: (cpu: Processor) => Attempt,
): SystemOperation<undefined> {
  return new SystemOperation(text, length, undefined, attempt);
}

/** MOV to a control register. The exit comes before the checks of the value (SDM 3C 26.1.1). */
export function movToCr(cr: ControlRegister, value: bigint): SystemOperation<undefined> {
  return system(
    () => `mov cr${cr}, 0x${value.toString(16)}`,
    MOV_CR_LENGTH,
    (cpu) => {
      if (cpu.registers.cpl !== 0) return cpu.protectionFault();
      if (cr === 2) {
        cpu.registers.cr2 = value as VirtualAddress;
        return Attempt.DONE;
      }
      if (movExits(cpu, cr, value)) return cpu.trap.leave({ reason: 'mov-to-cr', cr, value });
      if (cr !== 3) return writeGuestOwned(cpu, cr, value);
      return cpu.writeCr(3, value) ? Attempt.DONE : cpu.protectionFault();
    },
  );
}

/** MOV from a control register. */
export function movFromCr(cr: ControlRegister): SystemOperation<bigint> {
  return new SystemOperation(
    () => `mov from cr${cr}`,
    MOV_CR_LENGTH,
    0n,
    (cpu, self) => {
      const { registers } = cpu;
      if (registers.cpl !== 0) return cpu.protectionFault();
      self.value = cr === 2 ? registers.cr2 : cr === 3 ? registers.cr3 : guestView(cpu, cr);
      return Attempt.DONE;
    },
  );
}

/** CLTS: exits when the host owns TS and the guest sees it set; changes nothing when the guest sees it clear. */
export function clts(): SystemOperation<undefined> {
  return system(
    () => 'clts',
    CLTS_LENGTH,
    (cpu) => {
      const { controls, registers } = cpu;
      if (registers.cpl !== 0) return cpu.protectionFault();
      const value = guestView(cpu, 0) & ~CR0.TS;
      const owned = (controls.cr0Mask & CR0.TS) !== 0n;
      if (controls.svm?.cr0Write === true || (owned && (controls.cr0Shadow & CR0.TS) !== 0n)) {
        return cpu.trap.leave({ reason: 'mov-to-cr', cr: 0, value });
      }
      return writeGuestOwned(cpu, 0, registers.cr0 & ~CR0.TS);
    },
  );
}

/** LMSW: PE, MP, EM and TS, of which PE cannot be cleared (SDM 2A LMSW, 3C 26.1.3). */
export function lmsw(value: number): SystemOperation<undefined> {
  return system(
    () => `lmsw 0x${value.toString(16)}`,
    MOV_CR_LENGTH,
    (cpu) => {
      const { controls, registers } = cpu;
      if (registers.cpl !== 0) return cpu.protectionFault();
      const source = BigInt(value) & MACHINE_STATUS;
      const setsPe = source & CR0.PE;
      const changed =
        ((source ^ controls.cr0Shadow) & MACHINE_STATUS & ~CR0.PE) | (setsPe & ~controls.cr0Shadow);
      const merge = (old: bigint): bigint => (old & ~(MACHINE_STATUS & ~CR0.PE)) | source;
      const { svm } = controls;
      // LMSW counts as a selective write whatever it changes (APM 2 15.9).
      const exits =
        svm === undefined ? (changed & controls.cr0Mask) !== 0n : svm.cr0Write || svm.cr0Selective;
      if (exits) return cpu.trap.leave({ reason: 'mov-to-cr', cr: 0, value: merge(guestView(cpu, 0)) });
      return writeGuestOwned(cpu, 0, merge(registers.cr0));
    },
  );
}

/** SMSW: never exits; UMIP forbids it to user code. */
export function smsw(): SystemOperation<bigint> {
  return new SystemOperation(
    () => 'smsw',
    MOV_CR_LENGTH,
    0n,
    (cpu, self) => {
      const { registers } = cpu;
      if (registers.cpl !== 0 && (registers.cr4 & CR4.UMIP) !== 0n) return cpu.protectionFault();
      self.value = guestView(cpu, 0) & 0xffffn;
      return Attempt.DONE;
    },
  );
}

/** WRPKRU, at any CPL. */
export function wrpkru(value: number): SystemOperation<undefined> {
  return system(
    () => `wrpkru 0x${value.toString(16)}`,
    MOV_CR_LENGTH,
    (cpu) => {
      if ((cpu.registers.cr4 & CR4.PKE) === 0n) return cpu.trap.raise(Vector.UD, 0);
      cpu.registers.pkru = value >>> 0;
      return Attempt.DONE;
    },
  );
}

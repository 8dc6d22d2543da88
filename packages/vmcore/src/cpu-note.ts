import { VmcoreError } from './error.ts';
import type { Note } from './note.ts';

/** General registers in the order of QEMU's note. */
export const QEMU_REGISTERS = [
  'rax',
  'rbx',
  'rcx',
  'rdx',
  'rsi',
  'rdi',
  'rsp',
  'rbp',
  'r8',
  'r9',
  'r10',
  'r11',
  'r12',
  'r13',
  'r14',
  'r15',
  'rip',
  'rflags',
] as const;
/** Segments and descriptor tables in the order of QEMU's note. */
export const SEGMENTS = ['cs', 'ds', 'es', 'fs', 'gs', 'ss', 'ldt', 'tr', 'gdt', 'idt'] as const;
/** Where the general registers of `struct elf_prstatus` are, and in which order (Linux, x86-64). */
export const PRSTATUS_PID = 32;
export const PRSTATUS_REGISTERS_AT = 112;
export const PRSTATUS_REGISTERS = [
  'r15',
  'r14',
  'r13',
  'r12',
  'rbp',
  'rbx',
  'r11',
  'r10',
  'r9',
  'r8',
  'rax',
  'rcx',
  'rdx',
  'rsi',
  'rdi',
  'orig_rax',
  'rip',
  'cs',
  'rflags',
  'rsp',
  'ss',
] as const;
export const PRSTATUS_SIZE = 336;
const NT_PRSTATUS = 1;

/** QEMU's note: version, size, 18 registers, 10 segments of 24 bytes, CR0 to CR4. Later QEMUs add the kernel's GS base. */
export const REGISTERS_AT = 8;
export const SEGMENTS_AT: number = REGISTERS_AT + QEMU_REGISTERS.length * 8;
export const SEGMENT_SIZE = 24;
export const CONTROL_REGISTERS_AT: number = SEGMENTS_AT + SEGMENTS.length * SEGMENT_SIZE;
export const QEMU_NOTE_SIZE: number = CONTROL_REGISTERS_AT + 5 * 8;

/** The name of a general register, RIP and RFLAGS among them. */
export type QemuRegister = (typeof QEMU_REGISTERS)[number];
/** The name of a segment register or a descriptor-table register. */
export type SegmentRegister = (typeof SEGMENTS)[number];

/** A segment register with its hidden part; of GDTR and IDTR only base and limit mean something. */
export interface Segment {
  readonly selector: number;
  readonly base: bigint;
  readonly limit: number;
  /** Bits 23:8 hold the access rights, as in the high half of a descriptor (SDM 3A 3.4.5). */
  readonly flags: number;
}

/** A CPU as QEMU's own note tells it. EFER and other model-specific registers are not in it. */
export interface VmcoreCpu {
  readonly registers: Readonly<Record<QemuRegister, bigint>>;
  readonly segments: Readonly<Record<SegmentRegister, Segment>>;
  readonly cr0: bigint;
  readonly cr2: bigint;
  readonly cr3: bigint;
  readonly cr4: bigint;
  /** IA32_KERNEL_GS_BASE, where the QEMU that wrote the dump tells it. */
  readonly kernelGsBase: bigint | undefined;
}

/** A CPU as a `CORE` note of type NT_PRSTATUS tells it: what debuggers read. */
export interface PrStatus {
  /** QEMU puts the CPU's number, from 1, here. */
  readonly pid: number;
  readonly registers: Readonly<Record<(typeof PRSTATUS_REGISTERS)[number], bigint>>;
}

/** The CPUs of the `QEMU` notes, in order. @throws {VmcoreError} when one is too short or of an unknown version */
export function readCpus(notes: readonly Note[]): VmcoreCpu[] {
  return notes.filter(({ name }) => name === 'QEMU').map(readCpu);
}

function readCpu({ descriptor, offset }: Note): VmcoreCpu {
  const view = viewOf(descriptor);
  if (descriptor.length < QEMU_NOTE_SIZE) {
    throw new VmcoreError(`QEMU note of ${descriptor.length} bytes: expected at least ${QEMU_NOTE_SIZE}`, {
      offset,
    });
  }
  const version = view.getUint32(0, true);
  if (version !== 1) throw new VmcoreError(`QEMU note of version ${version}: expected 1`, { offset });
  const size = view.getUint32(4, true);
  if (size < QEMU_NOTE_SIZE || size > descriptor.length) {
    throw new VmcoreError(
      `QEMU note says it has ${size} bytes: expected ${QEMU_NOTE_SIZE} to ${descriptor.length}`,
      { offset: offset + 4 },
    );
  }
  const control = (number: number) => view.getBigUint64(CONTROL_REGISTERS_AT + number * 8, true);
  return {
    registers: registersAt(view, REGISTERS_AT, QEMU_REGISTERS),
    segments: record(SEGMENTS, (index) => {
      const at = SEGMENTS_AT + index * SEGMENT_SIZE;
      return {
        selector: view.getUint32(at, true),
        limit: view.getUint32(at + 4, true),
        flags: view.getUint32(at + 8, true),
        base: view.getBigUint64(at + 16, true),
      };
    }),
    cr0: control(0),
    cr2: control(2),
    cr3: control(3),
    cr4: control(4),
    kernelGsBase: size >= QEMU_NOTE_SIZE + 8 ? control(5) : undefined,
  };
}

/** The threads of the NT_PRSTATUS notes, in order. @throws {VmcoreError} when one is too short */
export function readPrStatus(notes: readonly Note[]): PrStatus[] {
  return notes
    .filter(({ name, type }) => name === 'CORE' && type === NT_PRSTATUS)
    .map(({ descriptor, offset }) => {
      if (descriptor.length < PRSTATUS_SIZE) {
        throw new VmcoreError(`PRSTATUS note of ${descriptor.length} bytes: expected ${PRSTATUS_SIZE}`, {
          offset,
        });
      }
      const view = viewOf(descriptor);
      return {
        pid: view.getUint32(PRSTATUS_PID, true),
        registers: registersAt(view, PRSTATUS_REGISTERS_AT, PRSTATUS_REGISTERS),
      };
    });
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

function registersAt<Name extends string>(
  view: DataView,
  at: number,
  names: readonly Name[],
): Record<Name, bigint> {
  return record(names, (index) => view.getBigUint64(at + index * 8, true));
}

function record<Name extends string, Value>(
  names: readonly Name[],
  value: (index: number) => Value,
): Record<Name, Value> {
  return Object.fromEntries(names.map((name, index) => [name, value(index)])) as Record<Name, Value>;
}

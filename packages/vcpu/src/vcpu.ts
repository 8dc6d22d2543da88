import type { Pfn, PhysicalMemory, StateDigest, VirtualAddress } from '@heki/physical-memory';
import type { SecondLevel } from '@heki/second-level';
import type { CpuProfile } from '@heki/x86';
import type { VmControls } from './controls.ts';
import type { VcpuEvent } from './event.ts';
import type { Exception, ExceptionDecision, ExceptionFrame } from './exceptions/exception.ts';
import type { SecondLevelFault, VmExit } from './exit.ts';
import type { ExitAction } from './exit-action.ts';
import type { HypercallInstruction, VmxInstruction } from './instructions/vmx-instruction.ts';
import type { Outcome } from './outcome.ts';
import type { DescriptorTable, Registers } from './registers/registers.ts';

/** Bytes of one load or store. */
export type OperandSize = 1 | 2 | 4 | 8;

/**
 * The instructions of a virtual CPU. Each executes at RIP with the current CPL and gives its {@link Outcome}; RIP
 * advances only when it completes. None throws for what a guest can do.
 */
export interface Instructions {
  /** MOV from memory; little-endian, may cross a page. */
  load(va: VirtualAddress, bytes: OperandSize): Outcome<bigint>;
  /** MOV to memory; the low `bytes` of `value`. No byte is stored unless all may be. */
  store(va: VirtualAddress, bytes: OperandSize, value: bigint): Outcome;
  /** A locked read-modify-write: stores `update(old)` and gives `old`. Checked as a write throughout. */
  readModifyWrite(va: VirtualAddress, bytes: OperandSize, update: (old: bigint) => bigint): Outcome<bigint>;
  /** REP MOVSB from memory: page by page; a fault leaves it restartable where it was. */
  loadBytes(va: VirtualAddress, length: number): Outcome<Uint8Array>;
  /** REP MOVSB to memory: the pages before a page that faults are stored. */
  storeBytes(va: VirtualAddress, source: Uint8Array): Outcome;
  /**
   * Jumps to `va` and fetches `bytes` (1 .. 15, default 1) instruction bytes there. RIP is `va` from then on,
   * whatever comes of the fetch.
   */
  fetch(va: VirtualAddress, bytes?: number): Outcome<Uint8Array>;

  /** MOV to CR0, CR2, CR3 or CR4. */
  movToCr(cr: 0 | 2 | 3 | 4, value: bigint): Outcome;
  /** MOV from CR0, CR2, CR3 or CR4; bits of the guest/host masks read as the shadows. */
  movFromCr(cr: 0 | 2 | 3 | 4): Outcome<bigint>;
  /** CLTS. */
  clts(): Outcome;
  /** LMSW: the low 16 bits of `value`; PE can be set but not cleared. */
  lmsw(value: number): Outcome;
  /** SMSW: the low 16 bits of CR0 as the guest reads it. */
  smsw(): Outcome<bigint>;
  rdmsr(msr: number): Outcome<bigint>;
  wrmsr(msr: number, value: bigint): Outcome;
  /** WRPKRU, at any CPL. */
  wrpkru(value: number): Outcome;
  lgdt(base: VirtualAddress, limit: number): Outcome;
  lidt(base: VirtualAddress, limit: number): Outcome;
  lldt(selector: number): Outcome;
  ltr(selector: number): Outcome;
  /** SGDT; the operand in memory is given as the value. */
  sgdt(): Outcome<DescriptorTable>;
  /** SIDT. */
  sidt(): Outcome<DescriptorTable>;
  sldt(): Outcome<bigint>;
  str(): Outcome<bigint>;

  /** VMCALL or VMMCALL, with number and arguments in the general registers: the one that the processor has, or the other, which is #UD. */
  vmcall(instruction?: HypercallInstruction): Outcome;
  /** Any other instruction of VMX. Its operands are the hypervisor's business, and are not modelled. */
  vmx(instruction: VmxInstruction): Outcome;
  /** VMFUNC with EAX and ECX. */
  vmfunc(): Outcome;

  invlpg(va: VirtualAddress): Outcome;
  /** INVPCID: type 0 one address, 1 one PCID, 2 all with globals, 3 all without globals. */
  invpcid(type: number, pcid: number, va: VirtualAddress): Outcome;
  clac(): Outcome;
  stac(): Outcome;
  cli(): Outcome;
  sti(): Outcome;
}

/** The arguments of an instruction. */
type Arguments<Name extends keyof Instructions> = Parameters<Instructions[Name]>;

/**
 * The same instructions, one turn at a time: each gives a generator that yields `retry` whenever the instruction
 * left the guest or faulted and is about to be tried again, so that a scheduler can let others run in between. Resume it
 * with `true` when others made progress meanwhile: then a repetition is not a livelock. A virtual CPU executes one
 * instruction at a time: finish one before the next is started.
 */
export type StepwiseInstructions = {
  readonly [Name in keyof Instructions]: (
    ...args: Arguments<Name>
  ) => Generator<'retry', ReturnType<Instructions[Name]>, boolean | undefined>;
};

/** Which translations INVVPID drops (SDM 3C 31.3). */
export type InvvpidScope =
  | { readonly type: 'address'; readonly vpid: number; readonly va: VirtualAddress }
  | { readonly type: 'single-context' | 'single-context-retaining-globals'; readonly vpid: number }
  | { readonly type: 'all' };

/** A virtual CPU. */
export interface Vcpu extends Instructions {
  readonly id: number;
  /** Host-physical memory. */
  readonly memory: PhysicalMemory<Pfn>;
  readonly processor: CpuProfile;
  /** May be set as a VMM sets them; read shadows follow in the bits that changed. */
  readonly registers: Registers;
  /** For the hypervisor: what exits. */
  readonly controls: VmControls;
  /** Executes in interrupt context: set by the kernel around its handlers, looked at by drivers that warn. */
  interruptContext: boolean;
  /** The instructions, one turn at a time. */
  readonly stepwise: StepwiseInstructions;
  /** Why it stands still, if it does: every instruction gives this outcome until {@link init} or {@link reset}. */
  readonly halted: Extract<Outcome, { kind: 'triple-fault' | 'stopped' }> | undefined;
  /** It has left the guest, and its hypervisor has not answered yet: no instruction can execute on it. */
  readonly left: boolean;

  /** For the hypervisor: the second level in use. */
  readonly secondLevel: SecondLevel<SecondLevelFault> | undefined;
  /**
   * For the hypervisor: switches to another second level, or to none, without flushing. `root` tags cached translations: bits
   * 51:12 of the EPTP (EPTRTA), or the ASID.
   */
  useSecondLevel(secondLevel: SecondLevel<SecondLevelFault> | undefined, root: number): void;
  /**
   * For the hypervisor: writes CR0, CR3 or CR4 for the guest with all the rules and flushes of the MOV, but
   * without intercepts (kvm_set_cr0). The exception that the guest must get, or `undefined` when it was written.
   */
  emulateMovToCr(cr: 0 | 3 | 4, value: bigint): Exception | undefined;
  /** For the hypervisor: WRMSR for the guest, without intercepts. */
  emulateWrmsr(msr: number, value: bigint): Exception | undefined;
  /** For the hypervisor: RDMSR for the guest, without intercepts; `undefined` when it is #GP(0). */
  emulateRdmsr(msr: number): bigint | undefined;
  /**
   * For the hypervisor: LGDT, LIDT, LLDT or LTR for the guest, with the checks of the instruction but without intercepts. The
   * exception that the guest must get, or `undefined` when it was loaded. A GDT that the second level keeps from the processor
   * has no descriptor: #GP(selector).
   *
   * @param load as an exit names it
   */
  emulateDescriptorLoad(
    load: Omit<Extract<VmExit, { reason: 'descriptor-table' }>, 'reason'>,
  ): Exception | undefined;
  /** For the hypervisor: an exception to deliver before the next instruction, outside an exit. */
  queueException(exception: Exception): void;
  /** For the hypervisor: what {@link queueException} has queued and the guest has not got yet (KVM_GET_VCPU_EVENTS). */
  readonly queuedException: Exception | undefined;
  /**
   * For the hypervisor, at an exit by the second level: the linear address of the access, which it finds out itself where the exit does
   * not tell. RIP says it for a fetch; for an operand what decoding the instruction gives, whose bytes AMD puts into the VMCB
   * (DECODEASSISTS, APM 2 15.8.4). `undefined` for an access of the processor's own, to a gate or a descriptor.
   */
  readonly operandAddress: VirtualAddress | undefined;
  /** INVEPT on this processor: everything cached for `root`, or everything when `undefined`. */
  invept(root?: number): void;
  /** INVVPID on this processor. Guest-physical mappings stay. */
  invvpid(scope: InvvpidScope): void;
  /** The hypervisor stops the virtual CPU between two instructions. It runs none until {@link init} or {@link reset}. */
  halt(why: string): void;
  /**
   * INIT (SDM 3A table 10-1): general registers, control registers, table registers and EFER as after {@link reset}; MSRs, PKRU,
   * CR0.CD and CR0.NW stay. No longer halted, TLB empty.
   */
  init(): void;
  /** RESET: everything as after power-up. No longer halted, TLB empty. */
  reset(): void;
  /**
   * What brings it back to where it is now, as often as it is called: registers, MSRs, controls, what it has cached. Between two
   * instructions; memory is the caller's.
   */
  checkpoint(): () => void;
  /** Tells `digest` all that {@link checkpoint} brings back: two that tell the same go on as one. */
  digest(digest: StateDigest): void;
}

/** What a guest brings for a virtual CPU. */
export interface VcpuSetup {
  /** Registers that differ from their values after RESET; RDX is 0 as well, rather than the processor's signature. */
  readonly registers?: Partial<Registers>;
  /**
   * The guest's exception handlers, at CPL 0; they may execute instructions. Without it every exception is `fatal`.
   */
  readonly onException?: (vcpu: Vcpu, exception: Exception, frame: ExceptionFrame) => ExceptionDecision;
  /** Called for everything that happens, in order. Without it nothing is built for tracing. */
  readonly onEvent?: ((event: VcpuEvent) => void) | undefined;
}

/** What a virtual CPU is made from. */
export interface VcpuOptions extends VcpuSetup {
  readonly id: number;
  /** Host-physical memory; guest-physical memory too without a second level. */
  readonly memory: PhysicalMemory<Pfn>;
  readonly processor: CpuProfile;
  readonly secondLevel?: SecondLevel<SecondLevelFault> | undefined;
  /** Tag of the second level, as in {@link Vcpu.useSecondLevel}. Default 0. */
  readonly root?: number;
  /** Controls that differ from those of a processor without a hypervisor. */
  readonly controls?: Partial<VmControls>;
  /** What the hypervisor does about an exit. Without it every exit stops the virtual CPU. */
  readonly onExit?: (vcpu: Vcpu, exit: VmExit) => ExitAction;
  /**
   * Writes the information page of a #VE (SDM 3C 26.5.7.2) for a convertible violation. `false` when its busy
   * word forbids it: then the violation exits. Asked only with `controls.virtualizationExceptions`.
   */
  readonly onVirtualizationException?: (
    vcpu: Vcpu,
    violation: Extract<VmExit, { reason: 'ept-violation' }>,
  ) => boolean;
  /** Carries out a VMFUNC (EPTP switching). `false` when it cannot: then it exits. */
  readonly onVmfunc?: (vcpu: Vcpu, leaf: number, index: number) => boolean;
}

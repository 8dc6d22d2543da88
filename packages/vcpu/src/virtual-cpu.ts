import {
  PAGE_SIZE,
  type Pfn,
  type PhysicalMemory,
  type StateDigest,
  type VirtualAddress,
} from '@heki/physical-memory';
import type { SecondLevel } from '@heki/second-level';
import { AccessBits, type CpuProfile } from '@heki/x86';
import { Controls, defaultControls } from './controls.ts';
import { combineExceptions } from './exceptions/double-fault.ts';
import { type Exception, Vector } from './exceptions/exception.ts';
import { Execution, type Surroundings } from './execution.ts';
import type { SecondLevelFault, VmExit } from './exit.ts';
import { checkedFrame, checkOperandSize } from './instructions/arguments.ts';
import { Attempt } from './instructions/attempt.ts';
import { takeSelector, takeTable } from './instructions/descriptor-operations.ts';
import { type InstructionTable, instructionTable } from './instructions/instruction-table.ts';
import { MOV_LENGTH } from './instructions/memory-operations.ts';
import { operandAt, setOperand } from './instructions/operand.ts';
import type { Operation } from './instructions/operation.ts';
import type { HypercallInstruction, VmxInstruction } from './instructions/vmx-instruction.ts';
import type { Outcome } from './outcome.ts';
import { Processor } from './processor.ts';
import type { DescriptorTable, Registers } from './registers/registers.ts';
import type { InvvpidScope, OperandSize, StepwiseInstructions, Vcpu, VcpuOptions } from './vcpu.ts';

/** A processor between a guest's handlers and a hypervisor. */
export class VirtualCpu implements Vcpu {
  readonly id: number;
  readonly memory: PhysicalMemory<Pfn>;
  readonly processor: CpuProfile;
  readonly registers: Registers;
  readonly controls: Controls;
  interruptContext = false;
  readonly #cpu: Processor;
  readonly #surroundings: Surroundings;
  readonly #table: InstructionTable;
  #turns: StepwiseInstructions | undefined;

  constructor(options: VcpuOptions) {
    const { id, memory, processor, secondLevel, onEvent, onExit, onException } = options;
    this.id = id;
    this.memory = memory;
    this.processor = processor;
    const initial = { ...defaultControls(), ...options.controls };
    this.controls = new Controls(initial, () => this.#cpu.mmu.changed());
    const { controls } = this;
    this.#cpu = new Processor({ id, memory, processor, controls, onEvent });
    this.registers = this.#cpu.registers;
    Object.assign(this.registers, options.registers);
    Object.assign(controls, { cr0Shadow: initial.cr0Shadow, cr4Shadow: initial.cr4Shadow });
    this.useSecondLevel(secondLevel, options.root ?? 0);
    this.#surroundings = {
      exit: (exit) =>
        onExit?.(this, exit) ?? { kind: 'stop', why: `no backend answers the exit ${exit.reason}` },
      virtualize: (violation) => options.onVirtualizationException?.(this, violation) ?? false,
      handle: (exception, frame) => onException?.(this, exception, frame) ?? 'fatal',
    };
    this.#table = instructionTable((leaf, index) => options.onVmfunc?.(this, leaf, index) ?? false);
  }

  get stepwise(): StepwiseInstructions {
    this.#turns ??= this.#stepwise();
    return this.#turns;
  }

  get left(): boolean {
    return this.#cpu.left;
  }

  get halted(): Extract<Outcome, { kind: 'triple-fault' | 'stopped' }> | undefined {
    return this.#cpu.halted;
  }

  get secondLevel(): SecondLevel<SecondLevelFault> | undefined {
    return this.#cpu.mmu.secondLevel;
  }

  useSecondLevel(secondLevel: SecondLevel<SecondLevelFault> | undefined, root: number): void {
    this.#cpu.mmu.useSecondLevel(secondLevel, root);
  }

  load(va: VirtualAddress, bytes: OperandSize): Outcome<bigint> {
    const cpu = this.#cpu;
    if (cpu.ready && cpu.onEvent === undefined) {
      const frame = checkedFrame(va);
      checkOperandSize(bytes);
      const offset = Number(va & 0xfffn);
      if (offset + bytes <= PAGE_SIZE) {
        const host = cpu.mmu.translate(frame, offset, AccessBits.READ);
        const page = host >= 0 ? cpu.memory.page(host as Pfn) : undefined;
        if (page !== undefined) {
          cpu.retire(MOV_LENGTH);
          return { kind: 'done', value: operandAt(page, offset, bytes) };
        }
      }
    }
    return this.#run(this.#table.load(va, bytes));
  }

  store(va: VirtualAddress, bytes: OperandSize, value: bigint): Outcome {
    const cpu = this.#cpu;
    if (cpu.ready && cpu.onEvent === undefined) {
      const frame = checkedFrame(va);
      checkOperandSize(bytes);
      const offset = Number(va & 0xfffn);
      if (offset + bytes <= PAGE_SIZE) {
        const host = cpu.mmu.translate(frame, offset, AccessBits.WRITE);
        const page = host >= 0 ? cpu.memory.writablePage(host as Pfn) : undefined;
        if (page !== undefined) {
          setOperand(page, offset, bytes, value);
          cpu.retire(MOV_LENGTH);
          return { kind: 'done', value: undefined };
        }
      }
    }
    return this.#run(this.#table.store(va, bytes, value));
  }

  readModifyWrite(va: VirtualAddress, bytes: OperandSize, update: (old: bigint) => bigint): Outcome<bigint> {
    return this.#run(this.#table.readModifyWrite(va, bytes, update));
  }

  loadBytes(va: VirtualAddress, length: number): Outcome<Uint8Array> {
    return this.#run(this.#table.loadBytes(va, length));
  }

  storeBytes(va: VirtualAddress, source: Uint8Array): Outcome {
    return this.#run(this.#table.storeBytes(va, source));
  }

  fetch(va: VirtualAddress, bytes?: number): Outcome<Uint8Array> {
    return this.#run(this.#table.fetch(va, bytes));
  }

  movToCr(cr: 0 | 2 | 3 | 4, value: bigint): Outcome {
    return this.#run(this.#table.movToCr(cr, value));
  }

  movFromCr(cr: 0 | 2 | 3 | 4): Outcome<bigint> {
    return this.#run(this.#table.movFromCr(cr));
  }

  clts(): Outcome {
    return this.#run(this.#table.clts());
  }

  lmsw(value: number): Outcome {
    return this.#run(this.#table.lmsw(value));
  }

  smsw(): Outcome<bigint> {
    return this.#run(this.#table.smsw());
  }

  rdmsr(msr: number): Outcome<bigint> {
    return this.#run(this.#table.rdmsr(msr));
  }

  wrmsr(msr: number, value: bigint): Outcome {
    return this.#run(this.#table.wrmsr(msr, value));
  }

  wrpkru(value: number): Outcome {
    return this.#run(this.#table.wrpkru(value));
  }

  lgdt(base: VirtualAddress, limit: number): Outcome {
    return this.#run(this.#table.lgdt(base, limit));
  }

  lidt(base: VirtualAddress, limit: number): Outcome {
    return this.#run(this.#table.lidt(base, limit));
  }

  lldt(selector: number): Outcome {
    return this.#run(this.#table.lldt(selector));
  }

  ltr(selector: number): Outcome {
    return this.#run(this.#table.ltr(selector));
  }

  sgdt(): Outcome<DescriptorTable> {
    return this.#run(this.#table.sgdt());
  }

  sidt(): Outcome<DescriptorTable> {
    return this.#run(this.#table.sidt());
  }

  sldt(): Outcome<bigint> {
    return this.#run(this.#table.sldt());
  }

  str(): Outcome<bigint> {
    return this.#run(this.#table.str());
  }

  vmcall(instruction?: HypercallInstruction): Outcome {
    return this.#run(this.#table.vmcall(instruction));
  }

  vmx(instruction: VmxInstruction): Outcome {
    return this.#run(this.#table.vmx(instruction));
  }

  vmfunc(): Outcome {
    return this.#run(this.#table.vmfunc());
  }

  invlpg(va: VirtualAddress): Outcome {
    return this.#run(this.#table.invlpg(va));
  }

  invpcid(type: number, pcid: number, va: VirtualAddress): Outcome {
    return this.#run(this.#table.invpcid(type, pcid, va));
  }

  clac(): Outcome {
    return this.#run(this.#table.clac());
  }

  stac(): Outcome {
    return this.#run(this.#table.stac());
  }

  cli(): Outcome {
    return this.#run(this.#table.cli());
  }

  sti(): Outcome {
    return this.#run(this.#table.sti());
  }

  emulateMovToCr(cr: 0 | 3 | 4, value: bigint): Exception | undefined {
    const { controls } = this;
    if (!this.#cpu.writeCr(cr, value)) return { vector: Vector.GP, errorCode: 0 };
    if (cr === 0) controls.cr0Shadow = value;
    if (cr === 4) controls.cr4Shadow = value;
    return undefined;
  }

  emulateWrmsr(msr: number, value: bigint): Exception | undefined {
    return this.#cpu.writeMsr(msr, value) ? undefined : { vector: Vector.GP, errorCode: 0 };
  }

  emulateRdmsr(msr: number): bigint | undefined {
    return this.#cpu.readMsr(msr);
  }

  emulateDescriptorLoad({
    register,
    value,
    limit = 0,
  }: Omit<Extract<VmExit, { reason: 'descriptor-table' }>, 'reason'>): Exception | undefined {
    const cpu = this.#cpu;
    const attempt =
      register === 'gdtr' || register === 'idtr'
        ? takeTable(cpu, register, value as VirtualAddress, limit)
        : takeSelector(cpu, register, Number(value));
    if (attempt === Attempt.DONE) return undefined;
    if (attempt === Attempt.RAISED) return cpu.trap.exception;
    return { vector: Vector.GP, errorCode: Number(value & 0xfffcn) };
  }

  queueException(exception: Exception): void {
    const cpu = this.#cpu;
    const delivered =
      cpu.pending === undefined ? exception : combineExceptions(cpu.pending.exception, exception);
    if (delivered === 'triple-fault') cpu.halted = { kind: 'triple-fault' };
    else cpu.pend(delivered, true);
  }

  get queuedException(): Exception | undefined {
    return this.#cpu.pending?.exception;
  }

  get operandAddress(): VirtualAddress | undefined {
    return this.#cpu.trap.operand;
  }

  invept(root?: number): void {
    this.#cpu.mmu.invept(root);
  }

  invvpid(scope: InvvpidScope): void {
    this.#cpu.mmu.invvpid(scope);
  }

  halt(why: string): void {
    const cpu = this.#cpu;
    cpu.halted = { kind: 'stopped', why };
    cpu.onEvent?.({ type: 'halted', vcpu: cpu.id, outcome: cpu.halted });
  }

  init(): void {
    this.interruptContext = false;
    this.#cpu.init();
  }

  reset(): void {
    this.interruptContext = false;
    this.#cpu.reset();
  }

  checkpoint(): () => void {
    const { interruptContext } = this;
    const backs = [this.controls.checkpoint(), this.#cpu.checkpoint()];
    return () => {
      this.interruptContext = interruptContext;
      for (const back of backs) back();
    };
  }

  digest(digest: StateDigest): void {
    digest.word(this.interruptContext ? 1 : 0);
    this.controls.digest(digest);
    this.#cpu.digest(digest);
  }

  #run<Value>(operation: Operation<Value>): Outcome<Value> {
    return new Execution(this.#cpu, this.#surroundings, operation).run();
  }

  /** Every instruction of the table as a generator of its turns. */
  #stepwise(): StepwiseInstructions {
    const start = (
      operation: Operation<unknown>,
    ): Generator<'retry', Outcome<unknown>, boolean | undefined> =>
      turns(new Execution(this.#cpu, this.#surroundings, operation));
    return Object.fromEntries(
      Object.entries(this.#table).map(([name, operation]) => [
        name,
        (...args: unknown[]) => start((operation as (...args: unknown[]) => Operation<unknown>)(...args)),
      ]),
    ) as unknown as StepwiseInstructions;
  }
}

function* turns<Value>(execution: Execution<Value>): Generator<'retry', Outcome<Value>, boolean | undefined> {
  let othersProgressed = false;
  for (;;) {
    const outcome = execution.step(othersProgressed);
    if (outcome !== undefined) return outcome;
    othersProgressed = (yield 'retry') === true;
  }
}

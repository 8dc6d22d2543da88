import type {
  PageView,
  Pfn,
  PhysicalMemory,
  StateDigest,
  VirtualAddress,
  VirtualFrame,
} from '@heki/physical-memory';
import {
  AccessBits,
  type CpuProfile,
  CR0,
  CR4,
  EFER,
  type PagingLevels,
  type RegisterWrite,
  writeCr0,
  writeCr3,
  writeCr4,
  writeEfer,
} from '@heki/x86';
import type { Controls } from './controls.ts';
import type { Emulator, Reached } from './emulation/emulator.ts';
import type { FlushCause, VcpuEvent } from './event.ts';
import { type Exception, Vector } from './exceptions/exception.ts';
import { Attempt, Trap } from './instructions/attempt.ts';
import { byteAt, setByte } from './instructions/operand.ts';
import type { Outcome } from './outcome.ts';
import { Msr, PlainMsrs } from './registers/msr.ts';
import { RegisterFile } from './registers/register-file.ts';
import { linear, Mmu } from './translation/mmu.ts';

/** An exception that is about to be delivered. */
export interface PendingException {
  readonly exception: Exception;
  readonly injected: boolean;
}

/** The state of a virtual CPU and the rules of changing it; its instructions are `Operation`s over it. */
export class Processor {
  readonly id: number;
  readonly memory: PhysicalMemory<Pfn>;
  readonly processor: CpuProfile;
  readonly registers: RegisterFile;
  readonly controls: Controls;
  readonly trap = new Trap();
  readonly mmu: Mmu;
  readonly onEvent: ((event: VcpuEvent) => void) | undefined;
  /** Delivered before anything else executes. */
  pending: PendingException | undefined;
  halted: Extract<Outcome, { kind: 'triple-fault' | 'stopped' }> | undefined;
  /** The hypervisor is at work: no instruction may execute. */
  left = false;
  /** A hypervisor's emulator carries out an instruction: its memory takes the place of {@link mmu}. */
  emulator: Emulator | undefined;
  /** Exception handlers that are active, one interrupted by the next. */
  nesting = 0;
  /** How often it took INIT or RESET. */
  starts = 0;
  readonly #msrs = new PlainMsrs();

  constructor(options: {
    readonly id: number;
    readonly memory: PhysicalMemory<Pfn>;
    readonly processor: CpuProfile;
    readonly controls: Controls;
    readonly onEvent: ((event: VcpuEvent) => void) | undefined;
  }) {
    const { id, onEvent } = options;
    this.id = id;
    this.memory = options.memory;
    this.processor = options.processor;
    this.controls = options.controls;
    this.onEvent = onEvent;
    this.registers = new RegisterFile(
      () => this.mmu.changed(),
      (cr0, cr4) => {
        this.controls.follow(this.registers, cr0, cr4);
        this.mmu.flushVpid('set-registers');
      },
    );
    const onFlush = (cause: FlushCause, frame?: VirtualFrame): void => {
      onEvent?.({ type: 'flush', vcpu: id, cause, va: frame === undefined ? undefined : linear(frame, 0) });
    };
    const { memory, processor, registers, controls, trap } = this;
    this.mmu = new Mmu({
      memory,
      processor,
      registers,
      controls,
      trap,
      onFlush: onEvent === undefined ? undefined : onFlush,
    });
  }

  /** Levels of paging that decide where the processor can access memory and execute. */
  get levels(): PagingLevels {
    return (this.registers.cr4 & CR4.LA57) === 0n ? 4 : 5;
  }

  /** Whether nothing stands in the way of the next instruction. */
  get ready(): boolean {
    return this.pending === undefined && this.halted === undefined && !this.left;
  }

  /** Moves RIP behind an instruction of `length` bytes. */
  retire(length: bigint): void {
    const { registers } = this;
    registers.rip = BigInt.asUintN(64, registers.rip + length) as VirtualAddress;
  }

  /** Makes `exception` the next thing that happens; the processor writes CR2 with it. */
  pend(exception: Exception, injected: boolean): void {
    if (exception.cr2 !== undefined) this.registers.cr2 = exception.cr2;
    this.pending = { exception, injected };
  }

  /** Writes CR0, CR3 or CR4 by the rules and drops what that invalidates. `false`: #GP(0), and nothing changed. */
  writeCr(cr: 0 | 3 | 4, value: bigint): boolean {
    const write = cr === 0 ? writeCr0 : cr === 3 ? writeCr3 : writeCr4;
    return this.#apply(write(this.registers.paging, value, this.processor), `mov-to-cr${cr}`);
  }

  /** IA32_PKRS comes with the keys that it is about (SDM 3A 4.6.2). */
  get #hasPkrs(): boolean {
    return (this.processor.cr4 & CR4.PKS) !== 0n;
  }

  /** What RDMSR gives; `undefined`: #GP(0). */
  readMsr(msr: number): bigint | undefined {
    if (msr === Msr.EFER) return this.registers.efer;
    if (msr === Msr.PKRS) return this.#hasPkrs ? BigInt(this.registers.pkrs) : undefined;
    return this.#msrs.read(msr);
  }

  /** Carries out WRMSR. `false`: #GP(0), and nothing changed. */
  writeMsr(msr: number, value: bigint): boolean {
    const { registers, processor } = this;
    if (msr === Msr.EFER) return this.#writeEfer(value);
    if (msr !== Msr.PKRS) return this.#msrs.write(msr, value, processor);
    if (!this.#hasPkrs || value >> 32n !== 0n) return false;
    registers.pkrs = Number(value);
    return true;
  }

  /**
   * Reads memory for the processor itself, as an implicit supervisor access: a gate, a descriptor. At most a page.
   * Fills `target` when it gives DONE.
   */
  readSystem(va: VirtualAddress, target: Uint8Array): Attempt {
    for (let i = 0; i < target.length; i++) {
      const at = BigInt.asUintN(64, va + BigInt(i));
      const offset = Number(at & 0xfffn);
      const page = this.#systemPage(Number(at >> 12n) as VirtualFrame, offset);
      if (typeof page === 'number') return page;
      target[i] = byteAt(page, offset);
    }
    return Attempt.DONE;
  }

  /** Sets bits of a byte of memory for the processor itself, as {@link readSystem} reads it. */
  setSystemBits(va: VirtualAddress, bits: number): Attempt {
    const at = BigInt.asUintN(64, va);
    const offset = Number(at & 0xfffn);
    const page = this.#writableSystemPage(Number(at >> 12n) as VirtualFrame, offset);
    if (typeof page === 'number') return page;
    setByte(page, offset, byteAt(page, offset) | bits);
    return Attempt.DONE;
  }

  #systemPage(frame: VirtualFrame, offset: number): PageView | Attempt {
    const access = AccessBits.READ | AccessBits.IMPLICIT_SUPERVISOR;
    if (this.emulator !== undefined) return this.#found(this.emulator.readable(frame, offset, access));
    const host = this.mmu.translate(frame, offset, access);
    if (host < 0) return host as Attempt;
    return this.memory.page(host as Pfn) ?? this.trap.miss(host * 4096 + offset);
  }

  #writableSystemPage(frame: VirtualFrame, offset: number): Uint32Array | Attempt {
    const access = AccessBits.READ | AccessBits.WRITE | AccessBits.IMPLICIT_SUPERVISOR;
    if (this.emulator !== undefined) {
      const reached = this.emulator.writable(frame, offset, access);
      // The store is lost, as any to a device or to memory that takes none (emulator_cmpxchg_emulated()).
      return reached.kind === 'device' ? Attempt.DONE : this.#found(reached);
    }
    const host = this.mmu.translate(frame, offset, access);
    if (host < 0) return host as Attempt;
    return this.memory.writablePage(host as Pfn) ?? this.trap.miss(host * 4096 + offset);
  }

  /** An emulator reads no descriptor of a device: KVM would try again for ever. */
  #found<Page>(reached: Reached<Page>): Page | Attempt {
    switch (reached.kind) {
      case 'page':
        return reached.page;
      case 'failed':
        return reached.attempt;
      case 'absent':
        return this.trap.miss(reached.at);
      case 'device':
        return Attempt.REFUSED;
    }
  }

  /** #GP(0), as most instructions raise it. */
  protectionFault(): Attempt {
    return this.trap.raise(Vector.GP, 0);
  }

  /** What brings back the state of now, between two instructions. */
  checkpoint(): () => void {
    const { pending, halted } = this;
    const backs = [this.registers.checkpoint(), this.#msrs.checkpoint(), this.mmu.checkpoint()];
    return () => {
      this.pending = pending;
      this.halted = halted;
      for (const back of backs) back();
    };
  }

  /** Tells `digest` the state of now, between two instructions. */
  digest(digest: StateDigest): void {
    const { pending, halted } = this;
    this.registers.digest(digest);
    this.#msrs.digest(digest);
    this.mmu.digest(digest);
    if (pending !== undefined) {
      const { vector, errorCode, cr2 } = pending.exception;
      digest.addText(`${vector} ${errorCode} ${cr2} ${pending.injected}`);
    }
    if (halted !== undefined) digest.addText(halted.kind);
  }

  /** INIT (SDM 3A table 10-1). */
  init(): void {
    this.registers.init(this.processor.signature);
    this.#msrs.init();
    this.#start();
  }

  /** RESET. */
  reset(): void {
    this.registers.reset(this.processor.signature);
    this.#msrs.reset();
    this.#start();
  }

  /** Nothing is under way, and no translation is cached. */
  #start(): void {
    this.starts++;
    this.pending = undefined;
    this.halted = undefined;
    this.mmu.flushVpid('set-registers');
  }

  #writeEfer(value: bigint): boolean {
    const { registers } = this;
    const before = registers.efer;
    if (!this.#apply(writeEfer(registers.paging, value, this.processor), 'wrmsr')) return false;
    // Cached rights say whether XD counted when they were gathered.
    if (((registers.efer ^ before) & EFER.NXE) !== 0n) this.mmu.flushVpid('wrmsr');
    return true;
  }

  #apply(write: RegisterWrite, cause: FlushCause): boolean {
    if (write.kind !== 'ok') return false;
    this.mmu.applyFlush(write.flush, cause);
    this.registers.paging = write.registers;
    const { cr0, efer } = write.registers;
    if ((cr0 & CR0.PG) !== 0n && (efer & EFER.LMA) === 0n) {
      this.halted = {
        kind: 'stopped',
        unmodelled: true,
        why: '32-bit and PAE paging are not modelled: CR0.PG = 1 with EFER.LMA = 0',
      };
    }
    return true;
  }
}

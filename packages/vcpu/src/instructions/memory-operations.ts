import {
  PAGE_SIZE,
  type Pfn,
  VIRTUAL_FRAME_END,
  type VirtualAddress,
  type VirtualFrame,
} from '@heki/physical-memory';
import { AccessBits } from '@heki/x86';
import type { Emulator } from '../emulation/emulator.ts';
import type { VcpuEvent } from '../event.ts';
import type { Processor } from '../processor.ts';
import { Attempt } from './attempt.ts';
import { byteAt, operandAt, setOperand } from './operand.ts';
import type { Operation } from './operation.ts';

/** Bytes of encodings: `mov rax, [rbx]` and `mov [rbx], rax`, `lock xadd [rbx], rax`. */
export const MOV_LENGTH = 3n;
const RMW_LENGTH = 5n;

/** How events name an access. */
export type AccessName = Extract<VcpuEvent, { type: 'access' }>['access'];

/** The frame after `frame`; linear addresses wrap. */
function nextFrame(frame: VirtualFrame): VirtualFrame {
  return (frame + 1 === VIRTUAL_FRAME_END ? 0 : frame + 1) as VirtualFrame;
}

/** What is read where no memory is. */
function ones(bytes: number): bigint {
  return (1n << BigInt(bytes * 8)) - 1n;
}

/** The bytes of an access in one page; `done` of them are before it. */
interface Part {
  readonly frame: VirtualFrame;
  readonly offset: number;
  readonly bytes: number;
  readonly done: number;
}

/** One access of up to 15 bytes, in one page or across two. Both are translated before a byte moves. */
abstract class Access<Value> implements Operation<Value> {
  abstract readonly length: bigint;
  abstract value: Value;
  absent = false;
  readonly progress = 0;
  readonly #va: VirtualAddress;
  protected readonly bytes: number;
  readonly #name: AccessName;
  readonly #access: number;
  readonly #frame: VirtualFrame;
  protected readonly offset: number;
  /** Host frames of the first page, and of the second when the access crosses. */
  protected first = 0 as Pfn;
  protected second = 0 as Pfn;
  /** A hypervisor carried it out, and knows where. */
  #outOfSight = false;

  constructor(name: AccessName, va: VirtualAddress, bytes: number, access: number) {
    this.#name = name;
    this.#va = va;
    this.bytes = bytes;
    this.#access = access;
    this.#frame = Number(va >> 12n) as VirtualFrame;
    this.offset = Number(va & 0xfffn);
  }

  /** Bytes in the first page. */
  protected get split(): number {
    return Math.min(this.bytes, PAGE_SIZE - this.offset);
  }

  attempt(cpu: Processor): Attempt {
    const first = cpu.mmu.translate(this.#frame, this.offset, this.#access);
    if (first < 0) return first as Attempt;
    this.first = first as Pfn;
    if (this.split < this.bytes) {
      const second = cpu.mmu.translate(nextFrame(this.#frame), 0, this.#access);
      if (second < 0) return second as Attempt;
      this.second = second as Pfn;
    }
    this.absent = false;
    this.#outOfSight = false;
    this.perform(cpu);
    return Attempt.DONE;
  }

  /** Moves the bytes; both pages are translated. */
  protected abstract perform(cpu: Processor): void;

  abstract emulate(cpu: Processor, emulator: Emulator): Attempt;

  /** An emulator takes the pages one after the other: what it did of the first stays done when the second one faults. */
  protected forEachPart(visit: (part: Part) => Attempt): Attempt {
    const { offset, split, bytes } = this;
    this.#outOfSight = true;
    const attempt = visit({ frame: this.#frame, offset, bytes: split, done: 0 });
    if (attempt !== Attempt.DONE || split === bytes) return attempt;
    return visit({ frame: nextFrame(this.#frame), offset: 0, bytes: bytes - split, done: split });
  }

  /** Reads the bytes for an emulator; `translated` is the access that its walk is made for. */
  protected emulateGet(emulator: Emulator, translated: number): bigint | Attempt {
    this.absent = false;
    let value = 0n;
    const attempt = this.forEachPart(({ frame, offset, bytes, done }) => {
      const reached = emulator.readable(frame, offset, translated);
      if (reached.kind === 'failed') return reached.attempt;
      if (reached.kind === 'absent') this.absent = true;
      const read = reached.kind === 'page' ? operandAt(reached.page, offset, bytes) : ones(bytes);
      value |= read << BigInt(done * 8);
      return Attempt.DONE;
    });
    return attempt === Attempt.DONE ? value : attempt;
  }

  /** Stores the bytes of `value` for an emulator. */
  protected emulatePut(emulator: Emulator, value: bigint): Attempt {
    return this.forEachPart(({ frame, offset, bytes, done }) => {
      const reached = emulator.writable(frame, offset, this.#access);
      if (reached.kind === 'failed') return reached.attempt;
      if (reached.kind === 'absent') this.absent = true;
      else if (reached.kind === 'page') setOperand(reached.page, offset, bytes, value >> BigInt(done * 8));
      return Attempt.DONE;
    });
  }

  abstract emulated(cpu: Processor, value: bigint): void;

  tell(cpu: Processor): void {
    const { bytes } = this;
    const frame = this.#outOfSight ? undefined : this.first;
    cpu.onEvent?.({ type: 'access', vcpu: cpu.id, access: this.#name, va: this.#va, bytes, frame });
  }

  /** The bytes as a little-endian number; ones where memory is absent. */
  protected get(cpu: Processor): bigint {
    const { bytes, offset, split } = this;
    let value = this.#part(cpu, this.first, offset, split);
    if (split < bytes) value |= this.#part(cpu, this.second, 0, bytes - split) << BigInt(split * 8);
    return value;
  }

  #part(cpu: Processor, frame: Pfn, offset: number, bytes: number): bigint {
    const page = cpu.memory.page(frame);
    if (page !== undefined) return operandAt(page, offset, bytes);
    this.absent = true;
    return ones(bytes);
  }

  /** Stores the bytes of `value`; lost where memory is absent. */
  protected put(cpu: Processor, value: bigint): void {
    const { bytes, offset, split } = this;
    const page = cpu.memory.writablePage(this.first);
    if (page === undefined) this.absent = true;
    else setOperand(page, offset, split, value);
    if (split === bytes) return;
    const next = cpu.memory.writablePage(this.second);
    if (next === undefined) this.absent = true;
    else setOperand(next, 0, bytes - split, value >> BigInt(split * 8));
  }
}

/** MOV from memory. */
export class Load extends Access<bigint> {
  readonly length = MOV_LENGTH;
  value = 0n;

  constructor(va: VirtualAddress, bytes: number) {
    super('load', va, bytes, AccessBits.READ);
  }

  protected perform(cpu: Processor): void {
    this.value = this.get(cpu);
  }

  emulate(_cpu: Processor, emulator: Emulator): Attempt {
    const value = this.emulateGet(emulator, AccessBits.READ);
    if (typeof value === 'number') return value;
    this.value = value;
    return Attempt.DONE;
  }

  emulated(_cpu: Processor, value: bigint): void {
    this.value = BigInt.asUintN(this.bytes * 8, value);
  }
}

/** MOV to memory. */
export class Store extends Access<undefined> {
  readonly length = MOV_LENGTH;
  readonly value = undefined;
  readonly #source: bigint;

  constructor(va: VirtualAddress, bytes: number, source: bigint) {
    super('store', va, bytes, AccessBits.WRITE);
    this.#source = source;
  }

  protected perform(cpu: Processor): void {
    this.put(cpu, this.#source);
  }

  emulate(_cpu: Processor, emulator: Emulator): Attempt {
    this.absent = false;
    return this.emulatePut(emulator, this.#source);
  }

  emulated(): void {}
}

/** A locked read-modify-write. */
export class ReadModifyWrite extends Access<bigint> {
  readonly length = RMW_LENGTH;
  value = 0n;
  readonly #update: (old: bigint) => bigint;

  constructor(va: VirtualAddress, bytes: number, update: (old: bigint) => bigint) {
    super('read-modify-write', va, bytes, AccessBits.READ | AccessBits.WRITE);
    this.#update = update;
  }

  protected perform(cpu: Processor): void {
    this.value = this.get(cpu);
    this.put(cpu, BigInt.asUintN(this.bytes * 8, this.#update(this.value)));
  }

  /** An emulator reads all of it first. A fault of that says write, too (x86_emulate_insn). */
  emulate(_cpu: Processor, emulator: Emulator): Attempt {
    const value = this.emulateGet(emulator, AccessBits.READ | AccessBits.WRITE);
    if (typeof value === 'number') return value;
    this.value = value;
    return this.emulatePut(emulator, BigInt.asUintN(this.bytes * 8, this.#update(value)));
  }

  emulated(_cpu: Processor, value: bigint): void {
    this.value = BigInt.asUintN(this.bytes * 8, value);
  }
}

/** The fetch of an instruction after a jump to it. RIP stays there: what was fetched has not executed yet. */
export class Fetch extends Access<Uint8Array> {
  readonly length = 0n;
  readonly value: Uint8Array;
  readonly #target: VirtualAddress;

  constructor(va: VirtualAddress, bytes: number) {
    super('fetch', va, bytes, AccessBits.FETCH);
    this.value = new Uint8Array(bytes);
    this.#target = va;
  }

  override attempt(cpu: Processor): Attempt {
    cpu.registers.rip = this.#target;
    return super.attempt(cpu);
  }

  protected perform(cpu: Processor): void {
    for (let i = 0; i < this.bytes; i++) {
      const here = i < this.split;
      const page = cpu.memory.page(here ? this.first : this.second);
      if (page === undefined) this.absent = true;
      this.value[i] = page === undefined ? 0xff : byteAt(page, here ? this.offset + i : i - this.split);
    }
  }

  /** What no memory holds cannot be decoded. */
  emulate(_cpu: Processor, emulator: Emulator): Attempt {
    this.absent = false;
    return this.forEachPart(({ frame, offset, bytes, done }) => {
      const reached = emulator.readable(frame, offset, AccessBits.FETCH);
      if (reached.kind === 'failed') return reached.attempt;
      if (reached.kind === 'device') return Attempt.REFUSED;
      if (reached.kind === 'absent') this.absent = true;
      for (let i = 0; i < bytes; i++) {
        this.value[done + i] = reached.kind === 'page' ? byteAt(reached.page, offset + i) : 0xff;
      }
      return Attempt.DONE;
    });
  }

  emulated(cpu: Processor, value: bigint): void {
    for (let i = 0; i < this.bytes; i++) this.value[i] = Number((value >> BigInt(i * 8)) & 0xffn);
    cpu.retire(BigInt(this.bytes));
  }
}

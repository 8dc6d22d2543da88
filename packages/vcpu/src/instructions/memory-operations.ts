import {
  addressOf,
  type Hpa,
  PAGE_SIZE,
  type Pfn,
  readBytes,
  VIRTUAL_FRAME_END,
  type VirtualAddress,
  type VirtualFrame,
  writeBytes,
} from '@heki/physical-memory';
import { AccessBits } from '@heki/x86';
import type { VcpuEvent } from '../event.ts';
import type { Processor } from '../processor.ts';
import { Attempt } from './attempt.ts';
import { byteAt, operandAt, setOperand } from './operand.ts';
import type { Operation } from './operation.ts';

/** Bytes of encodings: `mov rax, [rbx]`, `mov [rbx], rax`, `lock xadd [rbx], rax`, `rep movsb`. */
export const MOV_LENGTH = 3n;
const RMW_LENGTH = 5n;
const REP_LENGTH = 2n;

type AccessName = Extract<VcpuEvent, { type: 'access' }>['access'];

/** The frame after `frame`; linear addresses wrap. */
function nextFrame(frame: VirtualFrame): VirtualFrame {
  return (frame + 1 === VIRTUAL_FRAME_END ? 0 : frame + 1) as VirtualFrame;
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
    this.perform(cpu);
    return Attempt.DONE;
  }

  /** Moves the bytes; both pages are translated. */
  protected abstract perform(cpu: Processor): void;

  abstract emulated(cpu: Processor, value: bigint): void;

  tell(cpu: Processor): void {
    const { bytes, first: frame } = this;
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
    return (1n << BigInt(bytes * 8)) - 1n;
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

  emulated(cpu: Processor, value: bigint): void {
    for (let i = 0; i < this.bytes; i++) this.value[i] = Number((value >> BigInt(i * 8)) & 0xffn);
    cpu.retire(BigInt(this.bytes));
  }
}

/** REP MOVSB to or from memory: what is behind it stays done when a page faults. */
abstract class Repeated<Value> implements Operation<Value> {
  readonly length = REP_LENGTH;
  abstract readonly value: Value;
  absent = false;
  progress = 0;
  readonly #name: AccessName;
  readonly #va: VirtualAddress;
  readonly #total: number;
  readonly #access: number;
  #frame = 0 as Pfn;

  constructor(name: AccessName, va: VirtualAddress, total: number, access: number) {
    this.#name = name;
    this.#va = va;
    this.#total = total;
    this.#access = access;
  }

  attempt(cpu: Processor): Attempt {
    while (this.progress < this.#total) {
      const va = BigInt.asUintN(64, this.#va + BigInt(this.progress));
      const offset = Number(va & 0xfffn);
      const frame = cpu.mmu.translate(Number(va >> 12n) as VirtualFrame, offset, this.#access);
      if (frame < 0) return frame as Attempt;
      if (this.progress === 0) this.#frame = frame as Pfn;
      const bytes = Math.min(this.#total - this.progress, PAGE_SIZE - offset);
      if (!this.move(cpu, frame as Pfn, offset, this.progress, bytes)) this.absent = true;
      this.progress += bytes;
    }
    return Attempt.DONE;
  }

  /** Moves `bytes` bytes between a page and the buffer from `done` on. `false` when the page is absent. */
  protected abstract move(cpu: Processor, frame: Pfn, offset: number, done: number, bytes: number): boolean;

  emulated(): void {}

  tell(cpu: Processor): void {
    cpu.onEvent?.({
      type: 'access',
      vcpu: cpu.id,
      access: this.#name,
      va: this.#va,
      bytes: this.#total,
      frame: this.#frame,
    });
  }
}

/** REP MOVSB from memory. */
export class LoadBytes extends Repeated<Uint8Array> {
  readonly value: Uint8Array;

  constructor(va: VirtualAddress, length: number) {
    super('load', va, length, AccessBits.READ);
    this.value = new Uint8Array(length);
  }

  protected move(cpu: Processor, frame: Pfn, offset: number, done: number, bytes: number): boolean {
    const target = this.value.subarray(done, done + bytes);
    if (readBytes(cpu.memory, (addressOf(frame) + offset) as Hpa, target) === bytes) return true;
    target.fill(0xff);
    return false;
  }
}

/** REP MOVSB to memory. */
export class StoreBytes extends Repeated<undefined> {
  readonly value = undefined;
  readonly #source: Uint8Array;

  constructor(va: VirtualAddress, source: Uint8Array) {
    super('store', va, source.length, AccessBits.WRITE);
    this.#source = source;
  }

  protected move(cpu: Processor, frame: Pfn, offset: number, done: number, bytes: number): boolean {
    const source = this.#source.subarray(done, done + bytes);
    return writeBytes(cpu.memory, (addressOf(frame) + offset) as Hpa, source) === bytes;
  }
}

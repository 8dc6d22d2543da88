import {
  addressOf,
  type Hpa,
  PAGE_SIZE,
  type Pfn,
  readBytes,
  type VirtualAddress,
  type VirtualFrame,
  writeBytes,
} from '@heki/physical-memory';
import { AccessBits } from '@heki/x86';
import type { Emulator } from '../emulation/emulator.ts';
import type { Processor } from '../processor.ts';
import { Attempt } from './attempt.ts';
import type { AccessName } from './memory-operations.ts';
import { byteAt, setByte } from './operand.ts';
import type { Operation } from './operation.ts';

/** Bytes of `rep movsb`. */
const REP_LENGTH = 2n;
/** Repetitions that an emulator makes in one go. */
const MOST_EMULATED = 1024;

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
  #frame: Pfn | undefined;

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

  /** An emulator goes on for at most 1,024 repetitions before the processor is tried again (x86_emulate_insn), whatever comes behind the page. */
  emulate(_cpu: Processor, emulator: Emulator): Attempt {
    for (let left = MOST_EMULATED; left > 0 && this.progress < this.#total; ) {
      const va = BigInt.asUintN(64, this.#va + BigInt(this.progress));
      const offset = Number(va & 0xfffn);
      const bytes = Math.min(this.#total - this.progress, PAGE_SIZE - offset, left);
      const attempt = this.emulateMove(
        emulator,
        Number(va >> 12n) as VirtualFrame,
        offset,
        this.progress,
        bytes,
      );
      if (attempt !== Attempt.DONE) return attempt;
      this.progress += bytes;
      left -= bytes;
    }
    return this.progress < this.#total ? Attempt.PARTLY : Attempt.DONE;
  }

  /** The same as {@link move}, by an emulator. */
  protected abstract emulateMove(
    emulator: Emulator,
    frame: VirtualFrame,
    offset: number,
    done: number,
    bytes: number,
  ): Attempt;

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

  protected emulateMove(
    emulator: Emulator,
    frame: VirtualFrame,
    offset: number,
    done: number,
    bytes: number,
  ): Attempt {
    const reached = emulator.readable(frame, offset, AccessBits.READ);
    if (reached.kind === 'failed') return reached.attempt;
    if (reached.kind === 'absent') this.absent = true;
    for (let i = 0; i < bytes; i++) {
      this.value[done + i] = reached.kind === 'page' ? byteAt(reached.page, offset + i) : 0xff;
    }
    return Attempt.DONE;
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
  protected emulateMove(
    emulator: Emulator,
    frame: VirtualFrame,
    offset: number,
    done: number,
    bytes: number,
  ): Attempt {
    const reached = emulator.writable(frame, offset, AccessBits.WRITE);
    if (reached.kind === 'failed') return reached.attempt;
    if (reached.kind === 'absent') this.absent = true;
    if (reached.kind !== 'page') return Attempt.DONE;
    for (let i = 0; i < bytes; i++) setByte(reached.page, offset + i, this.#source[done + i] ?? 0);
    return Attempt.DONE;
  }
}

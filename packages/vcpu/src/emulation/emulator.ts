import { addressOf, type Gfn, type Gpa, type PageView, type VirtualFrame } from '@heki/physical-memory';
import {
  AccessBits,
  type CpuProfile,
  createPageWalker,
  PageRights,
  type PageWalker,
  WalkOutcome,
} from '@heki/x86';
import type { VcpuEvent } from '../event.ts';
import { Vector } from '../exceptions/exception.ts';
import type { EmulatedAccess, EmulatedMemory, PlainAction } from '../exit-action.ts';
import { Attempt, type Trap } from '../instructions/attempt.ts';
import type { RegisterFile } from '../registers/register-file.ts';
import { linear } from '../translation/mmu.ts';

/** The processor whose instruction is carried out. */
interface EmulatedCpu {
  readonly id: number;
  readonly processor: CpuProfile;
  readonly registers: RegisterFile;
  readonly trap: Trap;
  readonly onEvent: ((event: VcpuEvent) => void) | undefined;
}

/** Where bytes of an emulated access are. */
export type Reached<Page> =
  | { readonly kind: 'page'; readonly page: Page }
  /** Memory that does not hold the page: it reads as ones, stores are lost. */
  | { readonly kind: 'absent'; readonly at: Gpa }
  | { readonly kind: 'device' }
  /** It cannot be made: RAISED, ABSENT or REFUSED. */
  | { readonly kind: 'failed'; readonly attempt: Attempt };

/**
 * One instruction carried out by a hypervisor's emulator: linear addresses are translated by a walk in software over guest
 * memory as the hypervisor has it, and neither TLB nor second level are asked.
 */
export class Emulator {
  /** What becomes of the instruction after REFUSED. */
  refusal: PlainAction;
  readonly #cpu: EmulatedCpu;
  readonly #memory: EmulatedMemory;
  readonly #walker: PageWalker;
  readonly #devices: EmulatedAccess[] = [];

  constructor(cpu: EmulatedCpu, memory: EmulatedMemory) {
    this.#cpu = cpu;
    this.#memory = memory;
    this.refusal = memory.instructionFailure ?? memory.failure;
    this.#walker = createPageWalker({
      processor: cpu.processor,
      registers: cpu.registers.paging,
      memory: {
        page: (gfn: Gfn) => memory.memory.page(gfn),
        writablePage: (gfn: Gfn) => (memory.takesFlags(gfn) ? memory.memory.writablePage(gfn) : undefined),
      },
    });
  }

  /**
   * The page to read or fetch from at an offset of a linear frame. `access`: READ, WRITE or FETCH of `AccessBits`, as the walk and the
   * error code of its faults have it, and perhaps IMPLICIT_SUPERVISOR.
   */
  readable(frame: VirtualFrame, offset: number, access: number): Reached<PageView> {
    const kind = (access & AccessBits.FETCH) !== 0 ? 'fetch' : 'read';
    const found = this.#locate(frame, offset, access, kind);
    if (typeof found !== 'number') return found;
    const page = this.#memory.memory.page(found);
    return page === undefined ? absent(found, offset) : { kind: 'page', page };
  }

  /** The same to store to. */
  writable(frame: VirtualFrame, offset: number, access: number): Reached<Uint32Array> {
    const found = this.#locate(frame, offset, access, 'write');
    if (typeof found !== 'number') return found;
    const page = this.#memory.memory.writablePage(found);
    return page === undefined ? absent(found, offset) : { kind: 'page', page };
  }

  #locate(
    frame: VirtualFrame,
    offset: number,
    access: number,
    kind: EmulatedAccess['kind'],
  ): Gfn | Exclude<Reached<never>, { kind: 'page' }> {
    const walker = this.#walker;
    const { trap, registers } = this.#cpu;
    const va = linear(frame, offset);
    const implicit = (access & AccessBits.IMPLICIT_SUPERVISOR) !== 0;
    const user = registers.cpl === 3 && !implicit ? AccessBits.USER : 0;
    switch (walker.walk(frame, offset, access | user)) {
      case WalkOutcome.MAPPED:
        break;
      case WalkOutcome.GENERAL_PROTECTION:
        return { kind: 'failed', attempt: trap.raise(Vector.GP, 0) };
      case WalkOutcome.ABSENT_TABLE:
        if (this.#memory.has(walker.guestFrame)) {
          return { kind: 'failed', attempt: trap.miss(walker.guestFrame * 4096 + walker.guestOffset) };
        }
        return { kind: 'failed', attempt: trap.raise(Vector.PF, walker.errorCode, va) };
      default:
        return { kind: 'failed', attempt: trap.raise(Vector.PF, walker.errorCode, va) };
    }
    const { guestFrame: gfn, rights } = walker;
    const asked: EmulatedAccess = {
      kind,
      gpa: (addressOf(gfn) + offset) as Gpa,
      linear: va,
      userPage: (rights & PageRights.USER) !== 0,
    };
    const target = this.#memory.judge(asked);
    if (target === 'memory') return gfn;
    if (target === 'device') {
      this.#devices.push(asked);
      this.#cpu.onEvent?.({ type: 'no-memory', vcpu: this.#cpu.id, access: kind, gpa: asked.gpa });
      return { kind: 'device' };
    }
    this.refusal = target;
    return { kind: 'failed', attempt: Attempt.REFUSED };
  }

  /** The instruction has made its accesses: devices hear of theirs. */
  finish(): void {
    for (const access of this.#devices) this.#memory.onDevice(access);
  }
}

function absent(gfn: Gfn, offset: number): Reached<never> {
  return { kind: 'absent', at: (addressOf(gfn) + offset) as Gpa };
}

import {
  CodeJit,
  codeExtents,
  encodeCodeLoad,
  encodeCodePokes,
  encodeCodeSeal,
  KvmHypercall,
  MEM_ATTR_EXEC,
  MEM_ATTR_READ,
} from '@heki/hypercall/kvm';
import { VcpuWaits, type YieldPoint } from '@heki/hypervisor';
import { createStateDigest, type Gfn, PAGE_SIZE } from '@heki/physical-memory';
import type { Vcpu } from '@heki/vcpu';
import { ALIAS as ALIAS_START, REGION } from '../backend/frames.ts';
import {
  createTinyGuest,
  directAddress,
  type ExploredBackend,
  REGISTERS,
  restRegisters,
  type TinyGuest,
} from '../backend/tiny-guest.ts';
import { BASES, FORGED_SITE, PROGRAMS } from './tiny-images.ts';
import {
  ALIAS,
  type AuthorityAction,
  bootedPage,
  FRAMES,
  Frame,
  GuestKnowledge,
  type OwnerRequest,
  PROCESSORS,
  SCRATCH,
  sealStates,
  type TinyOwner,
} from './tiny-owner.ts';

/** Pages in which requests are handed over. */
const LISTS = Array.from({ length: 4 }, (_, index) => (0x40 + index) as Gfn);
const LIST = BigInt((LISTS[0] ?? 0) * PAGE_SIZE);
/** Thrown at the end of a story, out of the middle of a request. */
const ARRIVED = Symbol('arrived');

const gfnOf = (frame: number): number => (frame === ALIAS ? ALIAS_START : REGION.start + frame);
const u32 = (bytes: Uint8Array): bigint =>
  bytes.reduceRight((value, byte) => value * 256n + BigInt(byte), 0n);

/** What a request is on the wire: a number, arguments, and pages that are handed over. */
interface Call {
  readonly number: number;
  readonly args?: readonly bigint[];
  readonly pages?: readonly Uint8Array[];
}

/**
 * An owner of code behind hypercalls.
 *
 * @throws {RangeError} when the backend cannot be brought back to a point, or does not seal the kernel
 */
export function createHypervisorOwner(backend: ExploredBackend): TinyOwner {
  return new HypervisorOwner(backend);
}

class HypervisorOwner implements TinyOwner {
  readonly knows = new GuestKnowledge();
  underWay = '';
  readonly #guest: TinyGuest;
  readonly #asking: Vcpu;
  readonly #origin: () => void;
  readonly #digest = createStateDigest();
  #story: readonly AuthorityAction[] = [];
  #next = 0;
  #arrive: () => void = () => {};
  /** Points until the request under way stops; none: it does not. */
  #left: number | undefined;
  #stopped = false;
  #failed = false;
  /** Who acts at a point of a request is not at one himself. */
  #busy = false;

  constructor(backend: ExploredBackend) {
    this.#guest = createTinyGuest(backend, PROCESSORS, (at) => this.#onYield(at));
    const [asking] = this.#guest.vcpus;
    if (asking === undefined) throw new RangeError('no processor');
    this.#asking = asking;
    this.#guest.addAlias();
    this.#boot();
    this.knows.reset();
    this.#call({ kind: 'seal', lock: 0 });
    const back = this.knows.sealed ? this.#guest.checkpoint() : undefined;
    if (back === undefined)
      throw new RangeError(
        `${backend.name}: expected an owner of code that seals the kernel, and can be brought back to a point`,
      );
    this.#origin = () => {
      back();
      this.knows.begin();
      this.underWay = '';
      this.#left = undefined;
      this.#failed = false;
      this.#busy = false;
    };
  }

  tell(story: readonly AuthorityAction[], arrive: () => void): boolean {
    this.#origin();
    this.#story = story;
    this.#next = 0;
    this.#arrive = arrive;
    try {
      while (this.#next < story.length) {
        const action = story[this.#next++];
        if (action === undefined || !this.#do(action)) return false;
      }
    } catch (thrown) {
      if (thrown !== ARRIVED) throw thrown;
      return !this.#failed;
    }
    arrive();
    return true;
  }

  bytes(frame: number): Uint8Array {
    const words = this.#guest.words(gfnOf(frame));
    return new Uint8Array(words.buffer, words.byteOffset, PAGE_SIZE);
  }

  store(cpu: number, gfn: number, word: number): boolean {
    const vcpu = this.#guest.vcpus[cpu];
    if (vcpu === undefined || (this.underWay !== '' && vcpu === this.#asking)) return false;
    return this.#waitsNot(
      () => vcpu.store(directAddress(gfnOf(gfn), SCRATCH), 4, BigInt(word)).kind === 'done',
    );
  }

  reset(): boolean {
    // A reset waits for a processor that is in the hypervisor.
    if (this.underWay !== '') return false;
    this.#guest.vm.lifeCycle({ kind: 'reset' });
    for (const { registers } of this.#guest.vcpus) Object.assign(registers, REGISTERS);
    this.#boot();
    this.knows.reset();
    return true;
  }

  mayWrite(frame: number): boolean {
    return this.#guest.vm.effectiveRights(gfnOf(frame) as Gfn)?.write === true;
  }

  mayExecute(frame: number): boolean {
    const names = frame === Frame.TEXT ? [gfnOf(frame), ALIAS_START] : [gfnOf(frame)];
    return names.some(
      (gfn) =>
        this.#guest.vm.effectiveRights(gfn as Gfn)?.supervisorExecute === true ||
        this.#guest.vcpus.some(
          (vcpu) =>
            (this.underWay === '' || vcpu !== this.#asking) &&
            this.#waitsNot(() => vcpu.fetch(directAddress(gfn), 1).kind === 'done'),
        ),
    );
  }

  askToExecute(frame: number): boolean {
    if (this.underWay !== '') return false;
    const gfn = gfnOf(frame);
    this.knows.hasAsked = true;
    this.#guest.ask([
      { start: gfn as Gfn, end: (gfn + 1) as Gfn, permissions: MEM_ATTR_READ | MEM_ATTR_EXEC },
    ]);
    return true;
  }

  rest(): string {
    const { vm, vcpus } = this.#guest;
    this.#digest.reset();
    for (const vcpu of vcpus) vcpu.digest(this.#digest);
    const rights = [...Array.from({ length: FRAMES }, (_, frame) => frame), ALIAS].map((frame) => {
      const { read, write, supervisorExecute } = vm.effectiveRights(gfnOf(frame) as Gfn) ?? {};
      return `${read === true ? 'r' : '-'}${write === true ? 'w' : '-'}${supervisorExecute === true ? 'x' : '-'}`;
    });
    return `${rights.join(' ')} ${this.#digest.number}`;
  }

  #boot(): void {
    for (let frame = 0; frame < FRAMES; frame++) this.bytes(frame).set(bootedPage(frame));
  }

  /** Does what is no part of a request under way. */
  #do(action: AuthorityAction): boolean {
    if (action.kind === 'deed') {
      const could = action.run(this);
      restRegisters(this.#guest);
      return could;
    }
    if (action.kind !== 'ask') return false;
    this.#left = action.point;
    this.#stopped = false;
    this.underWay = JSON.stringify(action.request);
    this.#call(action.request);
    this.underWay = '';
    restRegisters(this.#guest);
    // It may come to its end before the point at which it should stop.
    return action.point === undefined || this.#stopped;
  }

  /** Others act at a point of the request, until the story has it go on, or ends here. */
  #onYield(at: YieldPoint): void {
    if (this.underWay === '' || this.#busy || (at !== 'guest-read' && at !== 'attribute-change')) return;
    this.underWay += ` ${at}`;
    if (this.#left === undefined || --this.#left > 0) return;
    this.#stopped = true;
    for (;;) {
      const action = this.#story[this.#next++];
      if (action === undefined) {
        this.#busy = true;
        this.#arrive();
        throw ARRIVED;
      }
      if (action.kind === 'go on' || action.kind === 'finish') {
        this.#left = action.kind === 'finish' ? undefined : 1;
        return;
      }
      this.#busy = true;
      const could = action.kind === 'deed' && action.run(this);
      this.#busy = false;
      if (could) continue;
      this.#failed = true;
      throw ARRIVED;
    }
  }

  /** What `body` gives; `false` when it needs a lock that another holds. */
  #waitsNot(body: () => boolean): boolean {
    try {
      return body();
    } catch (stop) {
      if (stop instanceof VcpuWaits) return false;
      throw stop;
    }
  }

  #call(request: OwnerRequest): void {
    const { number, args = [LIST], pages = [] } = this.#wire(request);
    for (const [index, page] of pages.entries()) this.#listPage(index).set(page);
    const [rbx = 0n, rcx = 0n, rdx = 0n] = args;
    const { registers } = this.#asking;
    Object.assign(registers, { rax: BigInt(number), rbx, rcx, rdx, rsi: 0n });
    this.#asking.vmcall();
    const answer = Number(BigInt.asIntN(32, registers.rax));
    for (const index of pages.keys()) this.#listPage(index).fill(0);
    if (answer >= 0) this.knows.told(request, answer);
  }

  #listPage(index: number): Uint8Array {
    const words = this.#guest.words(LISTS[index] ?? 0);
    return new Uint8Array(words.buffer, words.byteOffset, PAGE_SIZE);
  }

  #wire(request: OwnerRequest): Call {
    const { knows } = this;
    const part = (address: bigint | undefined, frame: number) => ({
      address: BigInt.asUintN(64, address ?? 0n),
      extents: codeExtents([gfnOf(frame) as Gfn]),
    });
    const file = (frame: number, bytes: number) => ({ bytes, extents: codeExtents([gfnOf(frame) as Gfn]) });
    const program = BigInt(knows.id('pack'));
    switch (request.kind) {
      case 'seal': {
        const parts = [part(BASES.kernel[0], Frame.TEXT), part(BASES.kernel[1], Frame.INIT)];
        const states = sealStates(request.lock).flatMap((state, site) =>
          state === 0 ? [] : [{ site, state }],
        );
        return { number: KvmHypercall.CODE_SEAL, pages: encodeCodeSeal({ parts, states }, LISTS) };
      }
      case 'load': {
        const states =
          request.forged === true ? [{ site: FORGED_SITE.offset, state: FORGED_SITE.target }] : [];
        const parts = [part(BASES[request.file][0], request.into)];
        const list = { file: file(Frame[request.file], PAGE_SIZE), parts, states };
        return { number: KvmHypercall.CODE_LOAD, pages: encodeCodeLoad(list, LISTS) };
      }
      case 'poke': {
        const { image, site, state } = request;
        return {
          number: KvmHypercall.CODE_POKE,
          pages: [encodeCodePokes([{ image: knows.id(image), site, state }])],
        };
      }
      case 'retire':
      case 'init-done':
        return {
          number: KvmHypercall.CODE_RETIRE,
          args: [BigInt(knows.id(request.image)), request.kind === 'retire' ? 0n : 1n],
        };
      case 'trampoline':
        return {
          number: KvmHypercall.CODE_TRAMPOLINE,
          args: [0n, BigInt(gfnOf(request.into) * PAGE_SIZE), BigInt.asUintN(64, BASES.trampoline[0])],
        };
      case 'pack':
        return {
          number: KvmHypercall.CODE_JIT,
          args: [LIST, 0n, BigInt(CodeJit.MAKE_PACK)],
          pages: encodeCodeSeal({ parts: [part(BASES.pack[0], request.into)], states: [] }, LISTS),
        };
      case 'add':
        return {
          number: KvmHypercall.CODE_JIT,
          args: [LIST, program, BigInt(CodeJit.ADD_PROGRAM)],
          pages: encodeCodeLoad(
            { file: file(Frame[request.program], PROGRAMS[request.program].length), parts: [], states: [] },
            LISTS,
          ),
        };
      case 'remove':
        return { number: KvmHypercall.CODE_JIT, args: [0n, program, BigInt(CodeJit.REMOVE_PROGRAM)] };
      case 'open':
        return { number: KvmHypercall.CODE_POKE, args: [1n, 1n, request.open ? 1n : 0n] };
      case 'patch': {
        const { offset, bytes } = request;
        const what = BigInt(offset) | (BigInt(bytes.length) << 8n) | (u32(bytes) << 16n);
        return { number: KvmHypercall.CODE_POKE, args: [1n, 2n, what] };
      }
    }
  }
}

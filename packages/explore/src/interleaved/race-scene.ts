import { type StandingFault, VcpuWaits, type YieldPoint } from '@heki/hypervisor';
import type { Gfn, StateDigest } from '@heki/physical-memory';
import type { Vcpu } from '@heki/vcpu';
import { REGION } from '../backend/frames.ts';
import { answered, copyLedger, createLedger, digestLedger, type Ledger } from '../backend/ledger.ts';
import { askedRanges } from '../backend/requests.ts';
import {
  createTinyGuest,
  type ExploredBackend,
  restRegisters,
  type TinyGuest,
} from '../backend/tiny-guest.ts';
import type { InterleavedRequest } from './interleaved-actions.ts';
import type { Deed, Step } from './steps.ts';

const PROCESSORS = 2;

/** The request that is under way. */
interface UnderWay {
  readonly cpu: number;
  readonly request: InterleavedRequest;
  /** Points that it has come to, less one. */
  point: number;
  /** What they were. */
  where: string;
}

/** Thrown out of the middle of a request, where what comes next in a story cannot happen. */
const IMPOSSIBLE = Symbol('impossible');

/**
 * A guest of two processors, one of whose requests may be under way. JavaScript cannot keep a call that is half done: such a state is reached by making
 * the request again, with the same that came between.
 */
export class RaceScene {
  readonly guest: TinyGuest;
  ledger: Ledger = createLedger();
  underWay: UnderWay | undefined;
  /** Points of the latest request that was told to its end. */
  points = 0;
  /** The fault with which each processor stands, and what it is. */
  standing: ({ readonly fault: StandingFault; readonly name: string } | undefined)[] = [];
  #told: readonly Step[] = [];
  #next = 0;
  #target: { readonly point: number; readonly deed: Deed } | undefined;
  #returning = false;
  #arrive: () => void = () => {};
  /** The story is at its end, and the request goes on by itself. */
  #arrived = false;
  /** Somebody else acts at a point of the request; with a number, this processor is to stand at its fault. */
  #busy = false;
  #stands: number | undefined;

  constructor(backend: ExploredBackend) {
    this.guest = createTinyGuest(backend, PROCESSORS, (at, fault) => this.#onYield(at, fault));
    this.guest.addAlias();
  }

  /** What brings back a point without a request under way; `undefined` when the backend cannot. */
  checkpoint(): (() => void) | undefined {
    const back = this.guest.checkpoint();
    if (back === undefined) return undefined;
    const [ledger, standing] = [copyLedger(this.ledger), [...this.standing]];
    return () => {
      back();
      this.ledger = copyLedger(ledger);
      this.standing = [...standing];
      this.underWay = undefined;
    };
  }

  /**
   * Tells `steps`, from a point without a request under way. Whether all of them can happen; `arrive` is called where they end. In the middle of a request
   * it then goes on to its end, with nothing between.
   */
  tell(steps: readonly Step[], arrive: () => void): boolean {
    this.#told = steps;
    this.#arrived = false;
    this.#next = 0;
    while (this.#next < steps.length) {
      const step = steps[this.#next++];
      if (step === undefined) break;
      if (step.kind === 'deed') {
        if (!this.#do(step.deed)) return false;
      } else if (step.kind === 'begin') {
        if (!this.#begin(step.cpu, step.request, arrive)) return false;
        if (this.#arrived) return true;
      } else {
        return false;
      }
    }
    arrive();
    return true;
  }

  digest(digest: StateDigest): void {
    const { underWay } = this;
    this.guest.digest(digest);
    digestLedger(this.ledger, digest);
    for (let cpu = 0; cpu < PROCESSORS; cpu++) {
      const standing = this.standing[cpu];
      digest.addText(
        standing === undefined ? '' : `${standing.name}, ${standing.fault.of} ${standing.fault.stale}`,
      );
    }
    if (underWay !== undefined) digest.addText(`${underWay.cpu} ${underWay.request.name} ${underWay.where}`);
  }

  /** Whether the request can be made, and what was told happen at its points. */
  #begin(cpu: number, request: InterleavedRequest, arrive: () => void): boolean {
    if (this.standing[cpu] !== undefined) return false;
    const underWay: UnderWay = { cpu, request, point: -1, where: '' };
    this.underWay = underWay;
    this.#target = undefined;
    this.#returning = false;
    this.#arrive = arrive;
    let answer: number;
    try {
      answer = this.guest.ask(request.ranges, cpu);
    } catch (thrown) {
      this.#busy = false;
      if (thrown !== IMPOSSIBLE) throw thrown;
      return false;
    }
    if (!this.#returning) return false;
    this.points = underWay.point + 1;
    this.underWay = undefined;
    this.#answered(request, answer);
    return true;
  }

  #answered(request: InterleavedRequest, answer: number): void {
    if (answer === 0) this.#granted(request);
    restRegisters(this.guest);
  }

  #granted({ ranges }: InterleavedRequest): void {
    const { capabilities } = this.guest;
    answered(this.ledger, capabilities, askedRanges(ranges, capabilities), 'guest', 'done');
  }

  #onYield(at: YieldPoint, fault: StandingFault | undefined): void {
    const { underWay } = this;
    if (underWay === undefined || this.#busy) {
      const cpu = this.#stands;
      if (cpu === undefined || fault === undefined) return;
      this.#stands = undefined;
      this.standing[cpu] = { fault, name: '' };
      throw new VcpuWaits('it stands at its fault');
    }
    underWay.point++;
    underWay.where += `${underWay.where === '' ? '' : ', '}${at}`;
    while (!this.#returning) {
      if (this.#target === undefined && !this.#take()) {
        this.#arrive();
        this.#arrived = true;
        this.#returning = true;
        return;
      }
      const target = this.#target;
      if (target === undefined) return;
      if (target.point > underWay.point) return;
      this.#busy = true;
      const done = target.point === underWay.point && this.#do(target.deed);
      this.#busy = false;
      this.#target = undefined;
      if (!done) throw IMPOSSIBLE;
    }
  }

  /** Takes the next step of the story, inside a request; `false` when there is none. */
  #take(): boolean {
    const step = this.#told[this.#next];
    if (step === undefined) return false;
    this.#next++;
    if (step.kind === 'at') this.#target = step;
    else this.#returning = true;
    return true;
  }

  /** Whether it can be done now. */
  #do(deed: Deed): boolean {
    if (deed.kind === 'invalidate') return this.#waitsNot(() => invalidate(this.guest));
    const { cpu } = deed;
    const vcpu = this.guest.vcpus[cpu];
    if (vcpu === undefined || vcpu.halted !== undefined || this.underWay?.cpu === cpu) return false;
    const standing = this.standing[cpu];
    switch (deed.kind) {
      case 'evict':
        vcpu.invept();
        return true;
      case 'go-on':
        if (standing === undefined) return false;
        this.standing[cpu] = undefined;
        return this.#waitsNot(() => standing.fault.goOn());
      case 'ask': {
        // At its last point the request under way has had its effect: to ask then is to ask after it, and that is told so.
        if (standing !== undefined || this.underWay?.where.endsWith('resume') === true) return false;
        let answer = 0;
        const done = this.#waitsNot(() => {
          answer = this.guest.ask(deed.request.ranges, cpu);
        });
        if (done && answer === 0) this.#granted(deed.request);
        if (done) restOne(vcpu);
        return done;
      }
      case 'access': {
        if (standing !== undefined) return false;
        this.#stands = deed.stands ? cpu : undefined;
        const done = this.#waitsNot(() => deed.access.run(vcpu));
        this.#stands = undefined;
        restOne(vcpu);
        const stood = this.standing[cpu];
        if (stood === undefined) return done && !deed.stands;
        this.standing[cpu] = { ...stood, fault: stood.fault, name: deed.access.name };
        return true;
      }
    }
  }

  /** Whether `body` came to its end, needing no lock that another holds. */
  #waitsNot(body: () => void): boolean {
    try {
      body();
      return true;
    } catch (stop) {
      if (stop instanceof VcpuWaits) return false;
      throw stop;
    }
  }
}

function restOne(vcpu: Vcpu): void {
  restRegisters({ vcpus: [vcpu] });
}

/** A backend whose host's memory management takes leaves away. Others give their guests memory for good. */
interface Notified {
  invalidate(start: Gfn, end: Gfn): void;
}

export function isNotified(vm: object): vm is Notified {
  return 'invalidate' in vm;
}

function invalidate({ vm }: TinyGuest): void {
  if (isNotified(vm)) vm.invalidate(REGION.start as Gfn, REGION.end as Gfn);
}

import {
  type Answer,
  type AuthorityDefectId,
  type AuthorityHost,
  type CodeAuthority,
  createCodeAuthority,
  type FrameRights,
  type Request,
} from '@heki/code-authority';
import { createRam, type Gfn, PAGE_SIZE, type Pfn } from '@heki/physical-memory';
import { BASES, FORGED_SITE, KERNEL, PROGRAMS, TINY_CODE } from './tiny-images.ts';
import {
  ALIAS,
  type AuthorityAction,
  bootedPage,
  FRAMES,
  Frame,
  GuestKnowledge,
  grantedNumber,
  type OwnerRequest,
  PROCESSORS,
  SCRATCH,
  sealStates,
  switched,
  type TinyOwner,
} from './tiny-owner.ts';

const EVERYTHING: FrameRights = { read: true, write: true, execute: true };

/** An owner of code as it ships, whose host is six lines: rights in a list, translations in two maps. */
export function createNeutralOwner(defects: readonly AuthorityDefectId[]): TinyOwner {
  return new NeutralOwner(defects);
}

class NeutralOwner implements TinyOwner {
  readonly knows = new GuestKnowledge();
  underWay = '';
  readonly #authority: CodeAuthority;
  readonly #ram = createRam<Pfn>({ ranges: [{ start: 0 as Pfn, end: FRAMES as Pfn }] });
  readonly #aliasHasOwnType: boolean;
  readonly #rights: FrameRights[] = Array.from({ length: FRAMES }, () => EVERYTHING);
  #others: FrameRights = EVERYTHING;
  /** What each processor has cached of each guest frame. */
  readonly #cached: Map<number, FrameRights>[] = Array.from({ length: PROCESSORS }, () => new Map());
  #request: { readonly what: OwnerRequest; readonly steps: Request<number | undefined> } | undefined;
  readonly #origin: () => void;

  constructor(defects: readonly AuthorityDefectId[]) {
    this.#aliasHasOwnType = defects.includes('B-A8');
    const host: AuthorityHost = {
      memory: this.#ram,
      hostFrame: (gfn) => (gfn === ALIAS ? (0 as Pfn) : gfn < FRAMES ? (Number(gfn) as Pfn) : undefined),
      setRights: (frames, rights) => {
        for (const frame of frames) this.#rights[frame] = rights;
      },
      setOtherRights: (rights) => {
        this.#others = rights;
        this.#rights.fill(rights);
      },
      flush: () => {
        for (const cache of this.#cached) cache.clear();
      },
      stopped: (work) => work(),
      secret: new Uint8Array(32),
      processors: PROCESSORS,
    };
    this.#authority = createCodeAuthority({
      host,
      readImage: TINY_CODE.readImage,
      defects: switched(defects),
    });
    this.#boot();
    this.knows.reset();
    this.#carry({ kind: 'seal', lock: 0 }, undefined);
    const back = this.#authority.checkpoint();
    const frames = Array.from({ length: FRAMES }, (_, frame) => this.bytes(frame).slice());
    const [rights, others] = [[...this.#rights], this.#others];
    this.#origin = () => {
      back();
      for (const [frame, bytes] of frames.entries()) this.bytes(frame).set(bytes);
      this.#rights.splice(0, FRAMES, ...rights);
      this.#others = others;
      for (const cache of this.#cached) cache.clear();
      this.knows.begin();
      this.#request = undefined;
      this.underWay = '';
    };
  }

  tell(story: readonly AuthorityAction[], arrive: () => void): boolean {
    this.#origin();
    for (const action of story) {
      const could =
        action.kind === 'deed'
          ? action.run(this)
          : action.kind === 'ask'
            ? this.#carry(action.request, action.point)
            : this.#goOn(action.kind === 'go on' ? 1 : undefined);
      if (!could) return false;
    }
    arrive();
    return true;
  }

  bytes(frame: number): Uint8Array {
    const page = this.#ram.writablePage(frame as Pfn);
    if (page === undefined) throw new RangeError(`frame ${frame}`);
    return new Uint8Array(page.buffer, page.byteOffset, PAGE_SIZE);
  }

  store(cpu: number, gfn: number, word: number): boolean {
    if (!this.#allows(cpu, gfn)) return false;
    const bytes = this.bytes(gfn === ALIAS ? Frame.TEXT : gfn);
    new DataView(bytes.buffer, bytes.byteOffset).setUint32(SCRATCH, word, true);
    return true;
  }

  reset(): boolean {
    this.#authority.reset();
    for (const cache of this.#cached) cache.clear();
    this.#request = undefined;
    this.underWay = '';
    this.#boot();
    this.knows.reset();
    return true;
  }

  mayWrite(frame: number): boolean {
    return this.#rights[frame]?.write === true;
  }

  mayExecute(frame: number): boolean {
    return (
      this.#rights[frame]?.execute === true ||
      this.#cached.some((cache) => cache.get(frame)?.execute === true)
    );
  }

  rest(): string {
    const caches = this.#cached.map((cache) => [...cache].sort(([a], [b]) => a - b));
    const types = Array.from({ length: FRAMES }, (_, frame) => this.#authority.frame(frame as Pfn));
    return JSON.stringify([this.#authority.images, this.#rights, this.#others, caches, types]);
  }

  /** What a processor may do with a guest frame: what it has cached, where that allows it, else what is set. */
  #allows(cpu: number, gfn: number): boolean {
    const cache = this.#cached[cpu];
    if (cache?.get(gfn)?.write === true) return true;
    const rights =
      gfn === ALIAS && this.#aliasHasOwnType ? this.#others : this.#rights[gfn === ALIAS ? Frame.TEXT : gfn];
    if (rights?.write !== true) return false;
    cache?.set(gfn, rights);
    return true;
  }

  #boot(): void {
    for (let frame = 0; frame < FRAMES; frame++) this.bytes(frame).set(bootedPage(frame));
  }

  /** Begins a request, up to a point, or to its end. Whether it came there. */
  #carry(what: OwnerRequest, point: number | undefined): boolean {
    if (this.#request !== undefined) return false;
    const begun = this.#begin(what);
    if (!('next' in begun)) {
      const number = grantedNumber(begun);
      if (number !== undefined) this.knows.told(what, number);
      return point === undefined;
    }
    this.#request = { what, steps: begun };
    this.underWay = JSON.stringify(what);
    return this.#goOn(point) && (point === undefined || this.#request !== undefined);
  }

  /** So many points further, or to its end. */
  #goOn(points: number | undefined): boolean {
    const { what, steps } = this.#request ?? {};
    if (what === undefined || steps === undefined) return false;
    for (let point = 0; points === undefined || point < points; point++) {
      const { done, value } = steps.next();
      if (done !== true) {
        this.underWay += ` ${value}`;
        continue;
      }
      const number = grantedNumber(value);
      if (number !== undefined) this.knows.told(what, number);
      this.#request = undefined;
      this.underWay = '';
      return point + 1 === (points ?? point + 1);
    }
    return true;
  }

  #begin(request: OwnerRequest): Request<number | undefined> | Answer<number | undefined> {
    const { knows } = this;
    const authority = this.#authority;
    switch (request.kind) {
      case 'seal':
        return authority.seal(
          KERNEL,
          { bases: BASES.kernel, frames: [[Frame.TEXT as Gfn], [Frame.INIT as Gfn]] },
          sealStates(request.lock),
        );
      case 'load':
        return authority.load(
          { pages: [Frame[request.file] as Gfn], length: PAGE_SIZE },
          { bases: BASES[request.file], frames: [[request.into as Gfn]] },
          request.forged === true
            ? [
                {
                  kind: 'jump-label',
                  at: { part: 0, offset: FORGED_SITE.offset },
                  length: 5,
                  key: 'forged',
                  target: { part: 0, offset: FORGED_SITE.target },
                },
              ]
            : undefined,
        );
      case 'poke':
        return authority.poke([{ image: knows.id(request.image), site: request.site, state: request.state }]);
      case 'retire':
        return authority.retire(knows.id(request.image));
      case 'init-done':
        return authority.initDone(knows.id(request.image));
      case 'trampoline':
        return authority.trampoline('t', 'g', request.into as Gfn, BASES.trampoline[0]);
      case 'pack':
        return authority.makePack([request.into as Gfn], BASES.pack[0]);
      case 'add':
        return authority.addProgram(
          { pack: knows.id('pack'), slot: 0 },
          { pages: [Frame[request.program] as Gfn], length: PROGRAMS[request.program].length },
        );
      case 'remove':
        return authority.removeProgram({ pack: knows.id('pack'), slot: 0 });
      case 'open':
        return authority.openText(1, 0, 0, request.open);
      case 'patch':
        return authority.patchStep(1, 0, request.offset, request.bytes);
    }
  }
}

import {
  type AuthorityDefectId,
  type AuthorityHost,
  type Bases,
  buildImage,
  type CodeAuthority,
  type CodeImage,
  complete,
  createCodeAuthority,
  type FrameRights,
  type Request,
  statesOf,
} from '@heki/code-authority';
import { createRam, type Gfn, PAGE_SIZE, type Pfn } from '@heki/physical-memory';
import { KERNEL, MODULE } from './tiny-images.ts';

export const FRAMES = 6;
/** Host frames: the kernel's text and init text, two that are free, and the file of the module. */
export const Frame = { TEXT: 0, INIT: 1, FREE: 2, OTHER: 3, FILE: 4 } as const;
/** A second guest frame over the kernel's text. */
export const ALIAS = 16;
export const PROCESSORS = 2;

const KERNEL_BASE = 0xffff_ffff_8100_0000n;
const MODULE_BASE = 0xffff_ffff_c000_0000n;
const BASES = { kernel: [KERNEL_BASE, KERNEL_BASE + 0x1000n], module: [MODULE_BASE] } as const;
const EVERYTHING: FrameRights = { read: true, write: true, execute: true };

interface SiteStates {
  readonly offset: number;
  readonly states: readonly Uint8Array[];
}

interface SignedPart {
  /** With every site in state 0. */
  readonly bytes: Uint8Array;
  readonly sites: readonly SiteStates[];
}

/** What must stand in each part, by the files that were signed: the owner is not asked. */
const SIGNED: Readonly<Record<string, readonly SignedPart[]>> = {
  kernel: signedParts(KERNEL, BASES.kernel),
  module: signedParts(MODULE, BASES.module),
};

function signedParts(image: CodeImage, bases: Bases): SignedPart[] {
  const built = buildImage(image, bases, [], () => KERNEL_BASE + 0x80n);
  if (!built.ok) throw new Error(built.why);
  const sites = sitesOf(image, bases);
  return built.parts.map((bytes, part) => ({ bytes, sites: sites[part] ?? [] }));
}

function sitesOf(image: CodeImage, bases: Bases): SiteStates[][] {
  return image.parts.map((_, part) =>
    image.sites
      .filter(({ at }) => at.part === part)
      .map((site) => {
        const { offset } = site.at;
        const states = Array.from({ length: statesOf(site) }, (__, value) => {
          const built = buildImage(
            { ...image, sites: [site], relocations: [] },
            bases,
            [value],
            () => undefined,
          );
          return built.ok ? (built.parts[part]?.slice(offset, offset + site.length) ?? []) : [];
        });
        return { offset, states: states.map((bytes) => Uint8Array.from(bytes)) };
      }),
  );
}

/** An owner of code over a host of a few frames, an attacker's processors, and a request that may be half done. */
export type TinyOwner = Pick<FewFrames, keyof FewFrames>;

/** The kernel is sealed, and nothing else has happened. */
export function createTinyOwner(defect: AuthorityDefectId | undefined): TinyOwner {
  return new FewFrames(defect);
}

class FewFrames {
  readonly authority: CodeAuthority;
  readonly rights: FrameRights[] = Array.from({ length: FRAMES }, () => EVERYTHING);
  /** What each processor has cached of each guest frame. */
  readonly cached: Map<number, FrameRights>[] = Array.from({ length: PROCESSORS }, () => new Map());
  /** What the guest has last put into a frame that is its own, as a word at {@link SCRATCH}. */
  readonly data = new Map<number, number>();
  /** The request under way. */
  request: Request<number | undefined> | undefined;
  requestText = '';
  readonly #ram = createRam<Pfn>({ ranges: [{ start: 0 as Pfn, end: FRAMES as Pfn }] });
  readonly #aliasHasOwnType: boolean;
  #others: FrameRights = EVERYTHING;
  /** Brings back where every story begins. */
  readonly #begin: () => void;

  constructor(defect: AuthorityDefectId | undefined) {
    this.#aliasHasOwnType = defect === 'B-A8';
    const host: AuthorityHost = {
      memory: this.#ram,
      hostFrame: (gfn) => (gfn === ALIAS ? (0 as Pfn) : gfn < FRAMES ? (Number(gfn) as Pfn) : undefined),
      setRights: (frames, rights) => {
        for (const frame of frames) this.rights[frame] = rights;
      },
      setOtherRights: (rights) => {
        this.#others = rights;
        for (let frame = 0; frame < FRAMES; frame++) this.rights[frame] = rights;
      },
      flush: () => {
        for (const cache of this.cached) cache.clear();
      },
      stopped: (work) => work(),
      secret: new Uint8Array(32),
      processors: PROCESSORS,
    };
    const file = new Uint8Array(PAGE_SIZE).fill(0x4d);
    this.bytes(Frame.FILE).set(file);
    // A file is signed when it is exactly the one that was.
    const readImage = (bytes: Uint8Array): CodeImage | undefined =>
      bytes.every((byte, index) => byte === file[index]) ? MODULE : undefined;
    const choices = defect === undefined ? {} : { [defect]: true };
    this.authority = createCodeAuthority({ host, readImage, defects: choices });
    const built = buildImage(KERNEL, BASES.kernel, [0, 0, 0], () => undefined);
    if (!built.ok) throw new Error(built.why);
    for (const [index, part] of built.parts.entries()) this.bytes(index).set(part);
    complete(
      this.authority.seal(KERNEL, { bases: BASES.kernel, frames: [[0 as Gfn], [1 as Gfn]] }, [0, 0, 0]),
    );
    const back = this.authority.checkpoint();
    const frames = Array.from({ length: FRAMES }, (_, frame) => this.bytes(frame).slice());
    const [rights, others] = [[...this.rights], this.#others];
    this.#begin = () => {
      back();
      for (const [frame, bytes] of frames.entries()) this.bytes(frame).set(bytes);
      this.rights.splice(0, FRAMES, ...rights);
      this.#others = others;
    };
  }

  /** Goes back to where every story begins: the kernel is sealed, and nothing else has happened. */
  begin(): void {
    this.#begin();
    for (const cache of this.cached) cache.clear();
    this.data.clear();
    this.request = undefined;
    this.requestText = '';
  }

  bytes(frame: number): Uint8Array {
    const page = this.#ram.writablePage(frame as Pfn);
    if (page === undefined) throw new RangeError(`frame ${frame}`);
    return new Uint8Array(page.buffer, page.byteOffset, PAGE_SIZE);
  }

  /** What a processor may do with a guest frame: what it has cached, where that allows it, else what is set. */
  allows(cpu: number, gfn: number, what: 'write' | 'execute'): boolean {
    const cache = this.cached[cpu];
    if (cache?.get(gfn)?.[what] === true) return true;
    const rights =
      gfn === ALIAS && this.#aliasHasOwnType ? this.#others : this.rights[gfn === ALIAS ? 0 : gfn];
    if (rights?.[what] !== true) return false;
    cache?.set(gfn, rights);
    return true;
  }

  /** The address and frames of the module, if it were loaded into `frame`. */
  placement(frame: number) {
    return { bases: BASES.module, frames: [[frame as Gfn]] };
  }

  /** The bytes that the module would have there. */
  moduleBytes(): Uint8Array {
    const built = buildImage(MODULE, BASES.module, [0], () => KERNEL_BASE + 0x80n);
    if (!built.ok) throw new Error(built.why);
    return built.parts[0] ?? new Uint8Array();
  }

  /** Begins a request; false when one is under way. */
  ask(text: string, request: Request<number | undefined>): boolean {
    if (this.request !== undefined) return false;
    this.request = request;
    this.requestText = text;
    return this.proceed();
  }

  /** The request goes on to the next point at which something can come between. */
  proceed(): boolean {
    if (this.request === undefined) return false;
    const { done, value } = this.request.next();
    this.requestText += done === true ? '' : ` ${String(value)}`;
    if (done === true) {
      this.request = undefined;
      this.requestText = '';
    }
    return true;
  }

  /** Frames that a processor can execute, by what is set or by what it has cached. */
  executable(): number[] {
    return Array.from({ length: FRAMES }, (_, frame) => frame).filter(
      (frame) =>
        this.rights[frame]?.execute === true ||
        this.cached.some((cache) => cache.get(frame)?.execute === true),
    );
  }

  /** Why a frame that can be executed must not be; `undefined` when its bytes are approved ones. */
  unapproved(frame: number): string | undefined {
    const { image: id } = this.authority.frame(frame as Pfn);
    const view = this.authority.images.find((one) => one.id === id);
    const part = view?.frames.findIndex((frames) => frames.includes(frame as Pfn)) ?? -1;
    const signed = view === undefined ? undefined : SIGNED[view.name]?.[part];
    if (signed === undefined) return 'it belongs to no image';
    const bytes = this.bytes(frame).slice();
    // A site may be in any of its states, whole.
    for (const { offset, states } of signed.sites) {
      const found = states.find((state) => state.every((byte, index) => bytes[offset + index] === byte));
      if (found !== undefined) bytes.set(signed.bytes.subarray(offset, offset + found.length), offset);
    }
    return bytes.every((byte, index) => byte === signed.bytes[index]) ? undefined : 'it holds other bytes';
  }
}

import { type Gfn, PAGE_SIZE, type Pfn } from '@heki/physical-memory';
import type { Request } from '../answer.ts';
import { RIGHTS } from '../frames/frame-type.ts';
import { buildImage } from '../images/build-image.ts';
import type { CodeImage, ImagePart, Site } from '../images/code-image.ts';
import type { Placement } from '../requests/seal.ts';
import type { AuthorityDefectId } from '../weaker/authority-defects.ts';
import { createWorld, part, type World } from './world.ts';

const RET = 0xc3;
const KERNEL_BASE = 0xffff_ffff_8100_0000n;
const TRAMPOLINE_BASE = 0xffff_ffff_d000_0000n;
/** None of the pages of an image is empty. */
const DATA: ImagePart = { kind: 'data', bytes: new Uint8Array(PAGE_SIZE).fill(1) };
/** Where a place lies that another one leads to. */
const TARGET = 0x40;

function jump(key: string, offset: number, part: number, to = part): Site {
  return { kind: 'jump-label', at: { part, offset }, length: 5, key, target: { part: to, offset: TARGET } };
}

/** The images of `spec/authority.qnt`, with bytes. */
const KERNEL: CodeImage = {
  name: 'kernel',
  parts: [part('text'), DATA, part('init-text')],
  relocations: [],
  sites: [
    jump('trace', 0x10, 0),
    jump('lsm', 0x18, 0),
    { kind: 'static-call', at: { part: 0, offset: 0x20 }, length: 5, key: 'call', targets: ['a'] },
    jump('boot', 0x28, 0, 2),
    jump('init', 0x10, 2),
  ],
  exports: new Map(),
  changeable: new Set(['trace', 'call', 'boot', 'init']),
  templates: new Map([
    ['t', { bytes: Uint8Array.of(0xe8, 0, 0, 0, 0, RET), branch: { at: 1, targets: ['a'] } }],
  ]),
};

interface Module {
  readonly image: CodeImage;
  readonly bases: readonly bigint[];
}

const MODULES: Readonly<Record<string, Module>> = {
  a: {
    image: {
      name: 'a',
      parts: [part('text'), DATA],
      relocations: [],
      sites: [jump('module', 0x10, 0)],
      exports: new Map([['a', { part: 0, offset: TARGET }]]),
      changeable: new Set(['module']),
    },
    bases: [0xffff_ffff_c000_0000n, 0xffff_ffff_c000_1000n],
  },
  b: {
    image: {
      name: 'b',
      parts: [part('text')],
      relocations: [{ at: { part: 0, offset: 0x21 }, kind: 'rel32', to: 'a', addend: -4 }],
      sites: [],
      exports: new Map(),
      changeable: new Set(),
    },
    bases: [0xffff_ffff_c100_0000n],
  },
};

/** Where each file lies: a byte, its number. */
const FILE_PAGES: Readonly<Record<string, number>> = { forged: 20, a: 21, b: 22 };
/** Where compiled programs lie, one of them with an OUT in it; and where the pack shall. */
const PROGRAM_PAGES = { good: 23, bad: 24 } as const;
const PROGRAMS = {
  good: [0x55, 0x48, 0x89, 0xe5, 0x31, 0xc0, 0xc9, RET],
  bad: [0x55, 0x48, 0x89, 0xe5, 0xee, 0xc9, RET],
} as const;
const PACK_BASE = 0xffff_ffff_d100_0000n;
const KERNEL_AT: Placement = {
  bases: [KERNEL_BASE, KERNEL_BASE + 0x1000n, KERNEL_BASE + 0x2000n],
  frames: [[0], [1], [2]] as unknown as Gfn[][],
};
const INIT = 2;
/** A store changes bytes that are in no site. */
const SCRATCH = 0x300;

/** What a step of the specification says, as far as it can be seen from outside. */
export interface SpecifiedState {
  readonly sealed: boolean;
  readonly frames: ReadonlyMap<
    number,
    { readonly kind: string; readonly image: number; readonly holds: string }
  >;
  readonly images: ReadonlyMap<
    number,
    { readonly file: string; readonly pages: readonly number[]; readonly states: readonly number[] }
  >;
  readonly answer: string;
  readonly event: { readonly slot: number; readonly what: SpecifiedEvent };
}

type SpecifiedEvent =
  | { readonly tag: 'Start' | 'Seal' | 'Proceed' }
  | { readonly tag: 'Load'; readonly value: { readonly file: string; readonly named: readonly Gfn[] } }
  | {
      readonly tag: 'Poke';
      readonly value: { readonly image: number; readonly site: number; readonly value: number };
    }
  | { readonly tag: 'Retire' | 'InitDone'; readonly value: number }
  | { readonly tag: 'Trampoline' | 'Pack'; readonly value: Gfn }
  | { readonly tag: 'Add'; readonly value: { readonly pack: number; readonly good: boolean } }
  | { readonly tag: 'Remove'; readonly value: number }
  | { readonly tag: 'Store'; readonly value: { readonly page: number; readonly what: string } };

/** The owner as it ships, before the kernel is sealed, to which the events of the specification happen. */
export class SpecifiedOwner {
  readonly #world: World;
  readonly #requests = new Map<number, Request<number | undefined>>();
  readonly #init: Uint8Array;

  constructor(defects: { readonly [id in AuthorityDefectId]?: boolean } = {}) {
    const numbers = new Map(Object.entries(FILE_PAGES).map(([name, number]) => [number, name]));
    this.#world = createWorld(defects, (file) => MODULES[numbers.get(file[0] ?? 0) ?? '']?.image);
    for (const page of numbers.keys()) this.#world.bytes(page)[0] = page;
    for (const name of ['good', 'bad'] as const) this.#world.bytes(PROGRAM_PAGES[name]).set(PROGRAMS[name]);
    const built = buildImage(KERNEL, KERNEL_AT.bases, [0, 0, 0, 0, 0], () => undefined);
    if (!built.ok) throw new Error(built.why);
    for (const [frame, bytes] of built.parts.entries()) this.#world.bytes(frame).set(bytes);
    this.#init = built.parts[INIT] ?? new Uint8Array();
  }

  /** @returns what the guest is told */
  step({ slot, what }: SpecifiedState['event']): string {
    const { authority } = this.#world;
    switch (what.tag) {
      case 'Start':
        return '';
      case 'Store':
        this.#store(what.value.page, what.value.what);
        return '';
      case 'Proceed':
        return this.#proceed(slot);
      case 'Seal':
        return this.#ask(slot, authority.seal(KERNEL, KERNEL_AT, [0, 0, 0, 0, 0]));
      case 'Load': {
        const { file, named } = what.value;
        const frames = named.map((gfn) => [gfn]);
        const placement = { bases: MODULES[file]?.bases ?? [], frames };
        return this.#ask(
          slot,
          authority.load({ pages: [(FILE_PAGES[file] ?? 0) as Gfn], length: 1 }, placement),
        );
      }
      case 'Poke': {
        const { image, site, value } = what.value;
        return this.#ask(slot, authority.poke([{ image, site, state: value }]));
      }
      case 'Retire':
        return this.#ask(slot, authority.retire(what.value));
      case 'InitDone':
        return this.#ask(slot, authority.initDone(what.value));
      case 'Trampoline':
        return this.#ask(slot, authority.trampoline('t', 'a', what.value, TRAMPOLINE_BASE));
      case 'Pack':
        return this.#ask(slot, authority.makePack([what.value], PACK_BASE));
      case 'Add': {
        const name = what.value.good ? 'good' : 'bad';
        const program = { pages: [PROGRAM_PAGES[name] as Gfn], length: PROGRAMS[name].length };
        return this.#ask(slot, authority.addProgram({ pack: what.value.pack, slot: 0 }, program));
      }
      case 'Remove': {
        const answer = authority.removeProgram({ pack: what.value, slot: 0 });
        return answer.ok ? 'granted' : answer.why;
      }
    }
  }

  /** What can be seen of the owner, in the words of the specification. */
  seen({ frames }: Pick<SpecifiedState, 'frames'>): Omit<SpecifiedState, 'answer' | 'event'> {
    const { authority } = this.#world;
    return {
      sealed: authority.sealed,
      images: new Map(
        authority.images.map(({ id, name, frames: parts, states }) => [
          id,
          { file: name.split(' ')[0] ?? '', pages: parts.map(([frame = -1]) => Number(frame)), states },
        ]),
      ),
      frames: new Map(
        [...frames].map(([frame, { holds }]) => {
          const { type, image } = authority.frame(frame as Pfn);
          const isEmpty = this.#world.bytes(frame).every((byte) => byte === 0);
          return [
            frame,
            { kind: type, image, holds: isEmpty === (holds === 'empty') ? holds : `not ${holds}` },
          ];
        }),
      ),
    };
  }

  /** Frames that allow something else than their type does. */
  wrongRights(): number[] {
    const { authority, rights } = this.#world;
    return [...rights].flatMap(([frame, allowed]) =>
      allowed === RIGHTS[authority.frame(frame as Pfn).type] ? [] : [frame],
    );
  }

  #ask(slot: number, request: Request<number | undefined>): string {
    this.#requests.set(slot, request);
    return this.#proceed(slot);
  }

  #proceed(slot: number): string {
    const next = this.#requests.get(slot)?.next();
    if (next === undefined) throw new Error(`no request ${slot} is under way`);
    if (next.done !== true) return next.value;
    this.#requests.delete(slot);
    return next.value.ok ? 'granted' : next.value.why;
  }

  #store(page: number, what: string): void {
    const bytes = this.#world.bytes(page);
    bytes.fill(0);
    if (what === 'signed') bytes.set(this.#init);
    if (what === 'other') bytes[SCRATCH] = 1;
  }
}

import { createRam, type Gfn, PAGE_SIZE, type Pfn } from '@heki/physical-memory';
import { complete } from '../answer.ts';
import { type CodeAuthority, createCodeAuthority } from '../code-authority.ts';
import type { FrameRights } from '../frames/frame-type.ts';
import { buildImage } from '../images/build-image.ts';
import type { CodeImage, ImagePart, Site } from '../images/code-image.ts';
import type { Placement } from '../requests/seal.ts';
import type { AuthorityDefectId } from '../weaker/authority-defects.ts';

const INT3 = 0xcc;
const KERNEL_BASE = 0xffff_ffff_8100_0000n;
const MODULE_BASE = 0xffff_ffff_c000_0000n;
const FRAMES = 64;

function page(fill: number, pages = 1): Uint8Array {
  return new Uint8Array(pages * PAGE_SIZE).fill(fill);
}

export const part = (kind: ImagePart['kind'], pages = 1): ImagePart => ({
  kind,
  bytes: page(kind.endsWith('text') ? INT3 : 0, pages),
});

const site = (kind: Site['kind'], key: string, offset: number, more: Partial<Site> = {}): Site => ({
  kind,
  at: { part: 0, offset },
  length: kind === 'lock' ? 1 : 5,
  key,
  ...more,
});

/** A kernel with a site of every kind, two pages of text, and init text. */
export const KERNEL: CodeImage = {
  name: 'kernel',
  parts: [part('text', 2), part('rodata'), part('data'), part('init-text')],
  relocations: [{ at: { part: 1, offset: 8 }, kind: 'abs64', to: { part: 0, offset: 0x80 }, addend: 0 }],
  sites: [
    site('jump-label', 'trace', 0x10, { target: { part: 0, offset: 0x40 } }),
    site('jump-label', 'short', 0x18, { length: 2, target: { part: 0, offset: 0x40 } }),
    site('jump-label', 'lsm', 0x20, { target: { part: 0, offset: 0x40 } }),
    site('static-call', 'call', 0x28, { targets: ['f', 'g', 'module_function'] }),
    site('static-jump', 'trampoline', 0x30, { targets: ['f'] }),
    site('fentry', 'fentry', 0x38, { targets: ['f'] }),
    site('lock', 'lock', 0x50),
    // Over the edge of the two pages.
    site('jump-label', 'straddle', 0xffe, { target: { part: 0, offset: 0x40 } }),
    {
      ...site('jump-label', 'init', 0x10, { target: { part: 3, offset: 0x40 } }),
      at: { part: 3, offset: 0x10 },
    },
  ],
  exports: new Map([
    ['f', { part: 0, offset: 0x80 }],
    ['g', { part: 0, offset: 0x90 }],
    ['init_function', { part: 3, offset: 0x80 }],
  ]),
  helpers: new Set(['f', 'g']),
  ownOffset: 0x19a18,
  changeable: new Set(['trace', 'short', 'call', 'trampoline', 'fentry', 'lock', 'straddle', 'init']),
  templates: new Map([
    [
      'ftrace',
      { bytes: Uint8Array.of(0xe8, 0, 0, 0, 0, 0xc3), branch: { at: 1, targets: ['f', 'init_function'] } },
    ],
  ]),
};

export const MODULE: CodeImage = {
  name: 'module',
  parts: [part('text'), part('data'), part('init-text')],
  relocations: [
    { at: { part: 0, offset: 0x21 }, kind: 'rel32', to: 'f', addend: -4 },
    { at: { part: 1, offset: 0 }, kind: 'abs64', to: { part: 0, offset: 0 }, addend: 0 },
  ],
  sites: [
    {
      kind: 'jump-label',
      at: { part: 0, offset: 0x10 },
      length: 5,
      key: 'm',
      target: { part: 0, offset: 0x40 },
    },
  ],
  exports: new Map([['module_function', { part: 0, offset: 0x60 }]]),
  changeable: new Set(['m']),
};

/** The guest frames of what is placed. */
export const KERNEL_AT: Placement = {
  bases: [KERNEL_BASE, KERNEL_BASE + 0x2000n, KERNEL_BASE + 0x3000n, KERNEL_BASE + 0x4000n],
  frames: [[0, 1], [2], [3], [4]] as unknown as Gfn[][],
};
export const MODULE_AT: Placement = {
  bases: [MODULE_BASE, MODULE_BASE + 0x1000n, MODULE_BASE + 0x2000n],
  frames: [[10], [11], [12]] as unknown as Gfn[][],
};
/** Where the module's file lies. */
export const FILE = { pages: [20 as Gfn], length: 100 };
/** A guest frame that leads to the host frame of another. */
export const ALIAS = { gfn: 40 as Gfn, of: 10 as Pfn };

/** A host with memory one to one, a guest in it, and an owner of its code. */
export interface World {
  readonly authority: CodeAuthority;
  readonly rights: ReadonlyMap<number, FrameRights>;
  /** What was done to the second level, in order. */
  readonly log: string[];
  bytes(frame: number): Uint8Array;
  processors: number;
  /** What happens at a flush. */
  atFlush: () => void;
}

/** The one file that is signed. */
function onlyModule(file: Uint8Array): CodeImage | undefined {
  return file.length === 100 && file.every((byte) => byte === 0x4d) ? MODULE : undefined;
}

/** @param readImage what files are signed */
export function createWorld(
  defects: { readonly [id in AuthorityDefectId]?: boolean } = {},
  readImage = onlyModule,
): World {
  const ram = createRam<Pfn>({ ranges: [{ start: 0 as Pfn, end: FRAMES as Pfn }] });
  const rights = new Map<number, FrameRights>();
  const log: string[] = [];
  const bytes = (frame: number): Uint8Array => {
    const words = ram.writablePage(frame as Pfn);
    if (words === undefined) throw new RangeError(`frame ${frame}`);
    return new Uint8Array(words.buffer, words.byteOffset, PAGE_SIZE);
  };
  bytes(20).fill(0x4d, 0, 100);
  const world: World = {
    authority: createCodeAuthority({
      host: {
        memory: ram,
        hostFrame: (gfn) => (gfn === ALIAS.gfn ? ALIAS.of : gfn < FRAMES ? (Number(gfn) as Pfn) : undefined),
        setRights: (frames, value) => {
          for (const frame of frames) {
            rights.set(frame, value);
            log.push(
              `${frame} ${value.read ? 'r' : '-'}${value.write ? 'w' : '-'}${value.execute ? 'x' : '-'}`,
            );
          }
        },
        setOtherRights: () => log.push('others'),
        flush: () => {
          log.push('flush');
          world.atFlush();
        },
        secret: new Uint8Array(32).fill(7),
        stopped: (work) => {
          log.push('stopped');
          const result = work();
          log.push('resumed');
          return result;
        },
        get processors() {
          return world.processors;
        },
      },
      readImage,
      defects,
    }),
    rights,
    log,
    bytes,
    processors: 2,
    atFlush: () => {},
  };
  return world;
}

/** The states that the kernel's sites have when it is sealed. */
export const STATES: readonly number[] = KERNEL.sites.map(() => 0);

/** Puts the kernel into memory as it must be, and seals it. */
export function sealed(defects: { readonly [id in AuthorityDefectId]?: boolean } = {}): World {
  const world = createWorld(defects);
  placeKernel(world);
  const answer = complete(world.authority.seal(KERNEL, KERNEL_AT, STATES));
  if (!answer.ok) throw new Error(answer.text);
  return world;
}

export function placeKernel(world: World, states = STATES): void {
  const built = buildImage(KERNEL, KERNEL_AT.bases, states, () => undefined);
  if (!built.ok) throw new Error(built.why);
  for (const [index, frames] of KERNEL_AT.frames.entries()) {
    for (const [at, frame] of frames.entries()) {
      world.bytes(frame).set(built.parts[index]?.subarray(at * PAGE_SIZE, (at + 1) * PAGE_SIZE) ?? []);
    }
  }
}

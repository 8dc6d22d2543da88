import type { CodeImage, ImagePart, SignedCode, Site } from '@heki/code-authority';
import { PAGE_SIZE } from '@heki/physical-memory';

const INT3 = 0xcc;
const RET = 0xc3;

/** What the guest hands over as files: each is a page full of one byte. */
export const FileByte = { callee: 0xa1, caller: 0xb2, shadow: 0xe5 } as const;
export type FileName = keyof typeof FileByte;

/** Where in a page of text things are. */
export const Offset = { TRACE: 0x10, LSM: 0x20, CALL: 0x28, LOCK: 0x30, CALLED: 0x40, EXPORT: 0x80 } as const;

/** A page of code: RET at some places, INT3 elsewhere. */
function page(kind: ImagePart['kind'], ...returns: readonly number[]): ImagePart {
  const bytes = new Uint8Array(PAGE_SIZE).fill(INT3);
  for (const offset of returns) bytes[offset] = RET;
  return { kind, bytes };
}

const jumpLabel = (key: string, offset: number, part = 0): Site => ({
  kind: 'jump-label',
  at: { part, offset },
  length: 5,
  key,
  target: { part, offset: Offset.CALLED },
});

/**
 * The kernel: text with a site that may change, one that guards security, a call into a module and a LOCK prefix, and init text with a site. It exports `f`, has
 * a template that leads to `g`, and lets compiled programs call nothing.
 */
export const KERNEL: CodeImage = {
  name: 'kernel',
  parts: [page('text', Offset.CALLED, Offset.EXPORT), page('init-text', Offset.CALLED)],
  relocations: [],
  sites: [
    jumpLabel('trace', Offset.TRACE),
    jumpLabel('lsm', Offset.LSM),
    jumpLabel('init', Offset.TRACE, 1),
    { kind: 'static-call', at: { part: 0, offset: Offset.CALL }, length: 5, key: 'call', targets: ['g'] },
    { kind: 'lock', at: { part: 0, offset: Offset.LOCK }, length: 1, key: 'lock' },
  ],
  exports: new Map([['f', { part: 0, offset: Offset.EXPORT }]]),
  changeable: new Set(['trace', 'init', 'call', 'lock']),
  templates: new Map([
    ['t', { bytes: Uint8Array.of(0xe8, 0, 0, 0, 0, RET), branch: { at: 1, targets: ['g'] } }],
  ]),
};

/** What a site of {@link KERNEL} is called, by its number. */
export const SITE_NAMES = [
  'the tracing site',
  'the LSM site',
  'the init site',
  'the call into the module',
  'the LOCK prefix',
] as const;

function module(name: FileName, imports: string | undefined, exported: string | undefined): CodeImage {
  return {
    name,
    parts: [page('text', Offset.CALLED, Offset.EXPORT)],
    relocations:
      imports === undefined
        ? []
        : [{ at: { part: 0, offset: 0x31 }, kind: 'rel32', to: imports, addend: -4 }],
    sites: [jumpLabel(name, Offset.TRACE)],
    exports: new Map(exported === undefined ? [] : [[exported, { part: 0, offset: Offset.EXPORT }]]),
    changeable: new Set([name]),
  };
}

/** Modules of a page: one that the kernel and another one may call, the one that calls it, and one that exports what the kernel does. */
export const MODULES: { readonly [name in FileName]: CodeImage } = {
  callee: module('callee', 'f', 'g'),
  caller: module('caller', 'g', undefined),
  shadow: module('shadow', undefined, 'f'),
};

/** Whether a page holds nothing but one byte. */
export function isFilled(bytes: Uint8Array, byte: number): boolean {
  for (let at = 0; at < bytes.length; at++) if (bytes[at] !== byte) return false;
  return true;
}

/** Where everything lies. */
export const BASES = {
  kernel: [0xffff_ffff_8100_0000n, 0xffff_ffff_8100_1000n],
  callee: [0xffff_ffff_c000_0000n],
  caller: [0xffff_ffff_c001_0000n],
  shadow: [0xffff_ffff_c002_0000n],
  trampoline: [0xffff_ffff_c003_0000n],
  pack: [0xffff_ffff_c004_0000n],
} as const;

/** What the owner goes by. A file is signed when it is exactly one that was. */
export const TINY_CODE: SignedCode = {
  kernel: KERNEL,
  readImage(file) {
    const [name] = Object.entries(FileByte).find(([, byte]) => isFilled(file, byte)) ?? [];
    return name === undefined ? undefined : MODULES[name as FileName];
  },
};

/** A site that no signed file has. */
export const FORGED_SITE = { offset: 0x50, target: 0x62 } as const;

/** The last four bytes of the tracing site when it jumps. */
export const JUMP_TAIL = Uint8Array.of(Offset.CALLED - Offset.TRACE - 5, 0, 0, 0);

/** A word of code that the attacker wants somewhere. */
export const EVIL = 0x0b0f_0b0f;

const words = (...values: readonly number[]): number[] => [
  ...new Uint8Array(Uint32Array.from(values).buffer),
];
const FRAME = [0x55, 0x48, 0x89, 0xe5];
const END = [0xc9, RET];

/** Compiled programs: a frame, a constant, and an end. The constant is the attacker's code, as it is or in two halves of which he has chosen one. */
export const PROGRAMS = {
  /** MOV EAX, constant. */
  plain: Uint8Array.of(...FRAME, 0xb8, ...words(EVIL), ...END),
  /** MOV R10D, half; XOR R10D, half. */
  halves: Uint8Array.of(
    ...FRAME,
    0x41,
    0xba,
    ...words(EVIL),
    0x41,
    0x81,
    0xf2,
    ...words(0x1234_5678),
    ...END,
  ),
} as const;
export type ProgramName = keyof typeof PROGRAMS;

/** Where the halves stand in the second of them, which the owner draws anew. */
export const HALVES = [6, 13] as const;

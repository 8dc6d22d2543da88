import type { CodeImage } from '@heki/code-authority';
import { type CodePart, codeExtents } from '@heki/hypercall/kvm';
import type { Gfn } from '@heki/physical-memory';

/** Where the text of the kernel lies. */
export const KERNEL_BASE = 0xffff_ffff_8100_0000n;
/** Where modules lie. */
export const MODULE_BASE = 0xffff_ffff_c000_0000n;

/** A page of INT3. */
export const breakpoints = (): Uint8Array => new Uint8Array(4096).fill(0xcc);

const jumpLabel = (offset: number, key: string) => ({
  kind: 'jump-label' as const,
  at: { part: 0, offset },
  length: 5 as const,
  key,
  target: { part: 0, offset: offset + 0x30 },
});

/** A kernel of one page, with jump labels at 0x10 and 0x40: that of a key that may change, and that of `secondKey`. */
export const kernelCode = (secondKey: string): CodeImage => ({
  name: 'kernel',
  parts: [{ kind: 'text', bytes: breakpoints() }],
  relocations: [],
  sites: [jumpLabel(0x10, 'trace'), jumpLabel(0x40, secondKey)],
  exports: new Map([['f', { part: 0, offset: 0x80 }]]),
  changeable: new Set(['trace']),
  templates: new Map([['return', { bytes: Uint8Array.of(0xc3) }]]),
});

/** A module of a page of text, which leads into the kernel, and one of init text. */
export const MODULE_CODE: CodeImage = {
  name: 'module',
  parts: [
    { kind: 'text', bytes: breakpoints() },
    { kind: 'init-text', bytes: breakpoints() },
  ],
  relocations: [{ at: { part: 0, offset: 0x81 }, kind: 'rel32', to: 'f', addend: -4 }],
  sites: [jumpLabel(0x10, 'module')],
  exports: new Map(),
  changeable: new Set(['module']),
};

/** A part at `address`, in these frames. */
export const partAt = (address: bigint, ...frames: readonly number[]): CodePart => ({
  address,
  extents: codeExtents(frames.map((frame) => frame as Gfn)),
});

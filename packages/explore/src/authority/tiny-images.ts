import type { CodeImage, Site } from '@heki/code-authority';
import { PAGE_SIZE } from '@heki/physical-memory';

const INT3 = 0xcc;
const RET = 0xc3;

/** A page of code: RET at some places, INT3 elsewhere. */
function code(...returns: readonly number[]): Uint8Array {
  const page = new Uint8Array(PAGE_SIZE).fill(INT3);
  for (const offset of returns) page[offset] = RET;
  return page;
}

/** The kernel: text with a site that may change and one that guards security, and init text with a site. */
export const KERNEL: CodeImage = {
  name: 'kernel',
  parts: [
    { kind: 'text', bytes: code(0x40, 0x80) },
    { kind: 'init-text', bytes: code(0x40) },
  ],
  relocations: [],
  sites: [
    {
      kind: 'jump-label',
      at: { part: 0, offset: 0x10 },
      length: 5,
      key: 'trace',
      target: { part: 0, offset: 0x40 },
    },
    {
      kind: 'jump-label',
      at: { part: 0, offset: 0x20 },
      length: 5,
      key: 'lsm',
      target: { part: 0, offset: 0x40 },
    },
    {
      kind: 'jump-label',
      at: { part: 1, offset: 0x10 },
      length: 5,
      key: 'init',
      target: { part: 1, offset: 0x40 },
    },
  ],
  exports: new Map([['f', { part: 0, offset: 0x80 }]]),
  changeable: new Set(['trace', 'init']),
};

/** A module of a page, which calls what the kernel exports. */
export const MODULE: CodeImage = {
  name: 'module',
  parts: [{ kind: 'text', bytes: code(0x60) }],
  relocations: [{ at: { part: 0, offset: 0x31 }, kind: 'rel32', to: 'f', addend: -4 }],
  sites: [
    {
      kind: 'jump-label',
      at: { part: 0, offset: 0x10 },
      length: 5,
      key: 'module',
      target: { part: 0, offset: 0x60 },
    },
  ],
  exports: new Map(),
  changeable: new Set(['module']),
};

/** A site that no signed file has. */
export const FORGED_SITE: Site = {
  kind: 'jump-label',
  at: { part: 0, offset: 0x50 },
  length: 5,
  key: 'forged',
  target: { part: 0, offset: 0x62 },
};

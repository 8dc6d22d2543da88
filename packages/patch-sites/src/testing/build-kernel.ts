import type { VirtualAddress } from '@heki/physical-memory';
import {
  createImageView,
  type ImageAddress,
  type ImageSymbols,
  type ImageView,
  imageVirtualAddress,
} from '../image-view.ts';

const TEXT = -0x7f00_0000;
const TABLES = TEXT + 0x10_0000;
const RODATA = TEXT + 0x20_0000;
const PAGE = 4096;

/** A kernel of a page of code, tables and a page of constants, to be run and tampered with. */
export interface TinyKernel {
  readonly image: ImageView;
  readonly text: ImageAddress;
  readonly rodata: ImageAddress;
  /** Changes what runs. */
  write(at: ImageAddress, ...bytes: readonly number[]): void;
  readonly live: (at: ImageAddress, length: number) => Uint8Array | undefined;
}

/** What a table says of a site: entries as its format has them, from the address at which they stand. */
export interface TinyTable {
  readonly section: string;
  readonly entries: (view: DataView, at: ImageAddress) => number;
}

/** @param code bytes by offset; the rest is INT3 */
export function buildKernel(
  code: Readonly<Record<number, readonly number[]>>,
  tables: readonly TinyTable[],
  names: Readonly<Record<string, ImageAddress>> = {},
  /** Pointers by offset in the page of constants. */
  pointers: Readonly<Record<number, ImageAddress>> = {},
): TinyKernel {
  const text = new Uint8Array(PAGE).fill(0xcc);
  for (const [at, bytes] of Object.entries(code)) text.set(bytes, Number(at));
  const rodata = new Uint8Array(PAGE);
  for (const [at, to] of Object.entries(pointers)) setPointer(rodata, Number(at), to);
  const init = new Uint8Array(PAGE);
  const view = new DataView(init.buffer);
  const sections: { name: string; address: VirtualAddress; size: number }[] = [];
  let used = 0;
  for (const { section, entries } of tables) {
    const part = new DataView(init.buffer, used);
    const size = entries(part, TABLES + used);
    sections.push({ name: section, address: imageVirtualAddress(TABLES + used), size });
    used += size + (-size & 15);
  }
  const all: Readonly<Record<string, ImageAddress>> = {
    _stext: TEXT,
    _etext: TEXT + PAGE,
    __start_rodata: RODATA,
    __end_rodata: RODATA + PAGE,
    __start_ro_after_init: RODATA + 0x800,
    __end_ro_after_init: RODATA + 0x900,
    ...names,
  };
  const symbols: ImageSymbols = {
    named: (name) => all[name],
    at: (address) => Object.keys(all).filter((name) => all[name] === address),
    *withPrefix(prefix) {
      for (const entry of Object.entries(all)) if (entry[0].startsWith(prefix)) yield entry;
    },
  };
  const segments = [
    { address: imageVirtualAddress(TEXT), bytes: text, kind: 'text' as const },
    { address: imageVirtualAddress(TABLES), bytes: new Uint8Array(view.buffer), kind: 'init' as const },
    { address: imageVirtualAddress(RODATA), bytes: rodata, kind: 'text' as const },
  ];
  const running = new Map([
    [TEXT, text.slice()],
    [RODATA, rodata.slice()],
  ]);
  const pageOf = (at: ImageAddress) => {
    const found = [...running].find(([start]) => at >= start && at < start + PAGE);
    return found && { bytes: found[1], offset: at - found[0] };
  };
  return {
    image: createImageView({ segments, sections }, symbols),
    text: TEXT,
    rodata: RODATA,
    write(at, ...bytes) {
      const page = pageOf(at);
      page?.bytes.set(bytes, page.offset);
    },
    live(at, length) {
      const page = pageOf(at);
      return page?.bytes.subarray(page.offset, page.offset + length);
    },
  };
}

/** The bytes of a pointer. */
export function pointerBytes(to: ImageAddress): number[] {
  const bytes = new Uint8Array(8);
  setPointer(bytes, 0, to);
  return [...bytes];
}

function setPointer(bytes: Uint8Array, at: number, to: ImageAddress): void {
  new DataView(bytes.buffer, bytes.byteOffset).setBigInt64(at, BigInt(to), true);
}

/** A table of `s32` entries, each relative to itself. */
export function listOf(section: string, ...sites: readonly ImageAddress[]): TinyTable {
  return {
    section,
    entries(view, at) {
      for (const [index, site] of sites.entries()) view.setInt32(index * 4, site - (at + index * 4), true);
      return sites.length * 4;
    },
  };
}

/** `.parainstructions` of one site: a call of seven bytes through `pv_ops`. */
export function paravirtCall(site: ImageAddress): TinyTable {
  return {
    section: '.parainstructions',
    entries(view) {
      view.setBigInt64(0, BigInt(site), true);
      view.setUint8(9, 7);
      return 16;
    },
  };
}

/** JMP rel32, or another branch with a distance of 32 bits. */
export function jump(from: ImageAddress, to: ImageAddress, opcode = 0xe9): number[] {
  const bytes = new Uint8Array(5);
  bytes[0] = opcode;
  new DataView(bytes.buffer).setInt32(1, to - from - 5, true);
  return [...bytes];
}

import { hex, PAGE_SIZE } from '@heki/physical-memory';
import { LinuxError } from '../error.ts';

/**
 * Places in a kernel image, in the order in which the linker lays them out (arch/x86/kernel/vmlinux.lds.S; Heki v2's
 * base is 6.6). The names are the kernel's own symbols.
 */
export const IMAGE_SYMBOLS = [
  '_text',
  '_etext',
  '__start_rodata',
  '__end_rodata',
  '_sdata',
  'init_top_pgt',
  '_edata',
  '__init_begin',
  '__init_end',
  '__nosave_begin',
  '__bss_start',
  'idt_table',
  '__start_bss_decrypted',
  '__start_bss_decrypted_unused',
  '__bss_stop',
  '_end',
] as const;

/** One of {@link IMAGE_SYMBOLS}. */
export type ImageSymbol = (typeof IMAGE_SYMBOLS)[number];

/** A build of the kernel as data: where its parts lie, and what of its configuration its layout shows. */
export interface KernelBuild {
  readonly name: string;
  /** Byte offset of every symbol from `_text`. */
  readonly offsets: { readonly [name in ImageSymbol]: number };
  /** Pages of .brk that early boot uses (`extend_brk`), mostly for the first page tables of the direct map. */
  readonly brkPages: number;
  /** CONFIG_RANDOMIZE_BASE: the image has a window of 1 GiB rather than 512 MiB, and modules begin behind it. */
  readonly randomizeBase: boolean;
  /** CONFIG_X86_ESPFIX64: returns to 16-bit code have stacks of their own. Debian's cloud kernels have none. */
  readonly espfix: boolean;
  /** The real-mode trampoline's pages: all, the read-only ones at its start, and the first and end of those that execute. */
  readonly trampoline: {
    readonly pages: number;
    readonly readOnly: number;
    readonly textStart: number;
    readonly textEnd: number;
  };
}

/** Bytes of a page that a 2-MiB leaf maps; text, rodata and .bss..decrypted are aligned to it. */
const HUGE = 2 ** 21;
const roundUp = (value: number, to: number): number => Math.ceil(value / to) * to;

/** What no symbol of a fixture tells: of Debian's 6.1, read from the page tables of a booted one. */
const DEFAULTS = {
  brkPages: 12,
  decryptedUsedPages: 3,
  randomizeBase: true,
  espfix: false,
  trampoline: { pages: 7, readOnly: 3, textStart: 1, textEnd: 3 },
} as const;

/**
 * A build from a kernel's symbols (`/proc/kallsyms`, System.map), at whatever address it was running.
 *
 * What symbols do not tell is taken from the linker script: `.smp_locks` follows the init memory, `.data_nosave` is the
 * page before .bss, `.bss..decrypted` the last 2 MiB of .bss, of which all but the first pages are unused.
 *
 * @throws {LinuxError} when a symbol is missing, or the symbols are not in linker order
 */
export function buildFromSymbols(
  name: string,
  symbols: { readonly [symbol: string]: string },
  options: Partial<Omit<KernelBuild, 'name' | 'offsets'>> = {},
): KernelBuild {
  const address = (symbol: string): bigint => {
    const text = symbols[symbol];
    if (text === undefined) throw new LinuxError(`the symbols of ${name} lack ${symbol}`);
    return BigInt(text);
  };
  const text = address('_text');
  const offset = (symbol: string): number => Number(address(symbol) - text);
  const bssStart = offset('__bss_start');
  const bssStop = offset('__bss_stop');
  const decrypted = bssStop - HUGE;
  const offsets = {
    _text: 0,
    _etext: offset('_etext'),
    __start_rodata: offset('__start_rodata'),
    __end_rodata: offset('__end_rodata'),
    _sdata: offset('_sdata'),
    init_top_pgt: offset('init_top_pgt'),
    _edata: offset('_edata'),
    __init_begin: offset('__init_begin'),
    __init_end: offset('__init_end'),
    __nosave_begin: bssStart - PAGE_SIZE,
    __bss_start: bssStart,
    idt_table: offset('idt_table'),
    __start_bss_decrypted: decrypted,
    __start_bss_decrypted_unused: decrypted + DEFAULTS.decryptedUsedPages * PAGE_SIZE,
    __bss_stop: bssStop,
    _end: offset('_end'),
  };
  const { brkPages, randomizeBase, trampoline } = DEFAULTS;
  const espfix = symbols.init_espfix_bsp !== undefined;
  return checkBuild({ brkPages, randomizeBase, espfix, trampoline, ...options, name, offsets });
}

/** `build`, unchanged. @throws {LinuxError} unless its parts are in linker order and aligned as the linker aligns them */
export function checkBuild(build: KernelBuild): KernelBuild {
  const { name, offsets, brkPages } = build;
  let previous: ImageSymbol = '_text';
  for (const symbol of IMAGE_SYMBOLS) {
    if (!Number.isSafeInteger(offsets[symbol]) || offsets[symbol] < offsets[previous]) {
      throw new LinuxError(
        `${symbol} of ${name} is at offset ${hex(offsets[symbol])}: expected it at or behind ${previous}, ${hex(offsets[previous])}`,
      );
    }
    previous = symbol;
  }
  const huge = ['_text', '__start_rodata', '_sdata', '__bss_stop'] as const;
  const unaligned =
    huge.find((symbol) => offsets[symbol] % HUGE !== 0) ??
    IMAGE_SYMBOLS.find(
      (symbol) => !['_etext', '_edata'].includes(symbol) && offsets[symbol] % PAGE_SIZE !== 0,
    );
  if (unaligned !== undefined) {
    throw new LinuxError(
      `${unaligned} of ${name} is at offset ${hex(offsets[unaligned])}: expected it on a page, those of text, rodata, data and the end of .bss on 2 MiB`,
    );
  }
  if (offsets.__bss_stop + brkPages * PAGE_SIZE > offsets._end) {
    throw new LinuxError(`${brkPages} pages of .brk of ${name} reach beyond _end, ${hex(offsets._end)}`);
  }
  return build;
}

/** A part of the image: byte offsets from `_text`, the end exclusive. */
export interface ImageSection {
  readonly name: string;
  readonly start: number;
  readonly end: number;
}

/** The parts of an image in linker order, with the gaps that alignment leaves between them. */
export function imageSections({ offsets: at, brkPages }: KernelBuild): readonly ImageSection[] {
  const textEnd = roundUp(at._etext, PAGE_SIZE);
  const brkEnd = at.__bss_stop + brkPages * PAGE_SIZE;
  const sections: ImageSection[] = [
    { name: '.text', start: 0, end: textEnd },
    { name: 'text/rodata gap', start: textEnd, end: at.__start_rodata },
    { name: '.rodata', start: at.__start_rodata, end: at.__end_rodata },
    { name: 'rodata/data gap', start: at.__end_rodata, end: at._sdata },
    { name: '.data', start: at._sdata, end: at.__init_begin },
    { name: '.init', start: at.__init_begin, end: at.__init_end },
    { name: '.smp_locks', start: at.__init_end, end: at.__nosave_begin },
    { name: '.data_nosave', start: at.__nosave_begin, end: at.__bss_start },
    { name: '.bss', start: at.__bss_start, end: at.__start_bss_decrypted },
    { name: '.bss..decrypted', start: at.__start_bss_decrypted, end: at.__start_bss_decrypted_unused },
    { name: 'unused decrypted', start: at.__start_bss_decrypted_unused, end: at.__bss_stop },
    { name: '.brk', start: at.__bss_stop, end: brkEnd },
    { name: 'end of the last 2 MiB', start: brkEnd, end: roundUp(brkEnd, HUGE) },
  ];
  return sections.filter(({ start, end }) => start < end);
}

/** Debian 12's cloud kernel: Linux 6.1, 14 MiB of text, 8 MiB of rodata. The default. */
export const DEBIAN_6_1: KernelBuild = {
  name: 'debian-6.1-cloud',
  offsets: {
    _text: 0,
    _etext: 0xe0_1ef2,
    __start_rodata: 0x100_0000,
    __end_rodata: 0x182_7000,
    _sdata: 0x1a0_0000,
    init_top_pgt: 0x1a1_0000,
    _edata: 0x1c4_5e00,
    __init_begin: 0x201_a000,
    __init_end: 0x22a_7000,
    __nosave_begin: 0x22b_0000,
    __bss_start: 0x22b_1000,
    idt_table: 0x22b_4000,
    __start_bss_decrypted: 0x260_0000,
    __start_bss_decrypted_unused: 0x260_3000,
    __bss_stop: 0x280_0000,
    _end: 0x283_0000,
  },
  brkPages: DEFAULTS.brkPages,
  randomizeBase: DEFAULTS.randomizeBase,
  espfix: DEFAULTS.espfix,
  trampoline: DEFAULTS.trampoline,
};

import type { KernelBuild } from '@heki/linux';

/** A kernel of 8 MiB of which boot frees few pages: it boots several times as fast as a real one. */
export const SMALL_KERNEL: KernelBuild = {
  name: 'small',
  offsets: {
    _text: 0,
    _etext: 0x1f_e000,
    __start_rodata: 0x20_0000,
    __end_rodata: 0x3f_c000,
    _sdata: 0x40_0000,
    init_top_pgt: 0x40_1000,
    _edata: 0x41_0000,
    __init_begin: 0x42_0000,
    __init_end: 0x44_0000,
    __nosave_begin: 0x44_1000,
    __bss_start: 0x44_2000,
    idt_table: 0x44_3000,
    __start_bss_decrypted: 0x60_0000,
    __start_bss_decrypted_unused: 0x7f_e000,
    __bss_stop: 0x80_0000,
    _end: 0x83_0000,
  },
  brkPages: 12,
  espfix: false,
  randomizeBase: true,
  trampoline: { pages: 7, readOnly: 3, textStart: 1, textEnd: 3 },
};

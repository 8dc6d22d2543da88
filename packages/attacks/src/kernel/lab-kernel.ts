import { type KernelBuild, SMALL_KERNEL } from '@heki/linux';

/** The kernel that is attacked: all parts of an image, each as short as the attacks leave it, since every attempt boots it. */
export const LAB_KERNEL: KernelBuild = {
  ...SMALL_KERNEL,
  name: 'lab',
  offsets: {
    ...SMALL_KERNEL.offsets,
    _etext: 0x1f_e000,
    __end_rodata: 0x3f_e000,
    __init_begin: 0x46_0000,
    __init_end: 0x46_4000,
    __nosave_begin: 0x46_8000,
    __bss_start: 0x46_9000,
    idt_table: 0x46_c000,
    __start_bss_decrypted: 0x5f_8000,
    __start_bss_decrypted_unused: 0x5f_b000,
    __bss_stop: 0x60_0000,
    _end: 0x63_0000,
  },
};

/**
 * The steps of a boot, in the kernel's order (6.6, the base of Heki v2): what happens, and in which function of Linux. A
 * step's name is the function that does it.
 */
export const BOOT_STEPS = [
  { step: 'startup_64', in: 'head_64.S', does: 'maps the image with 2-MiB leaves, writable and executable' },
  { step: 'init_hypervisor_platform', in: 'setup_arch', does: 'finds the hypervisor, and Heki in it' },
  { step: 'cleanup_highmap', in: 'setup_arch', does: 'unmaps what lies behind the image' },
  { step: 'reserve_real_mode', in: 'setup_arch', does: 'keeps memory below 1 MiB for the trampoline' },
  {
    step: 'init_mem_mapping',
    in: 'setup_arch',
    does: 'builds the direct map, and runs on the finished tables',
  },
  { step: 'paging_init', in: 'setup_arch', does: 'maps the array of struct page, and the APICs' },
  { step: 'trap_init', in: 'start_kernel', does: 'maps the cpu_entry_area' },
  { step: 'mem_init', in: 'start_kernel', does: 'hands all free memory to the page allocator' },
  { step: 'init_espfix_bsp', in: 'start_kernel', does: 'maps the stacks for returns to 16-bit code' },
  { step: 'poking_init', in: 'start_kernel', does: 'prepares the address space for text patching' },
  { step: 'init_IRQ', in: 'start_kernel', does: 'maps the interrupt stack, makes the IDT read-only' },
  {
    step: 'arch_cpu_finalize_init',
    in: 'start_kernel',
    does: 'frees .smp_locks where there is one processor',
  },
  { step: 'heki_early_init', in: 'start_kernel', does: 'counts the mappings (Heki)' },
  { step: 'rest_init', in: 'start_kernel', does: 'starts the first two threads' },
  { step: 'init_real_mode', in: 'kernel_init', does: 'fills the trampoline and sets its permissions' },
  { step: 'smp_init', in: 'kernel_init', does: 'brings up the other processors, through the trampoline' },
  { step: 'free_initmem', in: 'kernel_init', does: 'frees what only boot needed' },
  {
    step: 'mark_rodata_ro',
    in: 'kernel_init',
    does: 'makes text and rodata read-only, and all else not executable',
  },
  { step: 'heki_late_init', in: 'kernel_init', does: 'locks control registers, protects memory (Heki)' },
  { step: 'run_init_process', in: 'kernel_init', does: 'starts init: boot is over' },
] as const;

/** A step of {@link BOOT_STEPS}. */
export type BootStep = (typeof BOOT_STEPS)[number]['step'];

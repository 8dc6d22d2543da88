import { sealWithPrograms } from '../bpf/seal-programs.ts';
import { loadKernelPatches } from '../heki/secure-kernel.ts';
import type { KernelState } from '../kernel-state.ts';
import { smpInit } from '../smp/processors.ts';
import { initPoking } from '../text/text-poke.ts';
import type { BootStep } from './boot-steps.ts';
import { cleanupHighmap, initMemMapping, reserveRealMode, startup64 } from './early-boot.ts';
import { initEspfix } from './espfix.ts';
import { initIrq, memInit, pagingInit, restInit, trapInit } from './kernel-mappings.ts';
import { freeInitmem, freeSmpLocks, initRealMode, markRodataRo } from './protect-image.ts';

/** What each step of boot does. Each ends with a {@link KernelStop} when it cannot. */
export const STEP_FUNCTIONS: { readonly [step in BootStep]: (kernel: KernelState) => void } = {
  startup_64: startup64,
  init_hypervisor_platform({ heki, initHypervisorPlatform }) {
    if (heki !== undefined) initHypervisorPlatform?.(heki);
  },
  cleanup_highmap: cleanupHighmap,
  reserve_real_mode: reserveRealMode,
  init_mem_mapping: initMemMapping,
  paging_init: pagingInit,
  trap_init: trapInit,
  mem_init: memInit,
  init_espfix_bsp: initEspfix,
  poking_init: initPoking,
  init_IRQ: initIrq,
  arch_cpu_finalize_init: freeSmpLocks,
  heki_early_init({ heki, hekiInit, emit }) {
    if (heki === undefined) return;
    hekiInit.early = heki.earlyInit();
    emit({ type: 'heki-early-init', result: hekiInit.early });
  },
  rest_init: restInit,
  init_real_mode: initRealMode,
  smp_init: smpInit,
  free_initmem: freeInitmem,
  mark_rodata_ro: markRodataRo,
  heki_late_init(kernel) {
    const { heki, hekiInit, emit } = kernel;
    loadKernelPatches(kernel);
    if (heki === undefined) return;
    hekiInit.late = heki.lateInit();
    emit({ type: 'heki-late-init', result: hekiInit.late });
    sealWithPrograms(kernel);
  },
  run_init_process({ emit }) {
    emit({ type: 'log', text: 'Run /init as init process' });
  },
};

import type { Defect } from '@heki/series';

export const B_L4: Defect = {
  title: 'A module that is unloaded is handed over as it stands',
  happens:
    'Whoever has the token of a module that is in use unloads it, and its rodata, contents and all, is writable at once: tables of functions that the kernel still calls through can be edited in place.',
  why: 'mshv_vsm_unload_guest_module makes all ranges read-write and keeps their contents.',
  mend: 'The pages lose all access, VTL1 wipes them, and only then are they free memory. That is safe and not live: whoever still uses the module meets zeros.',
};

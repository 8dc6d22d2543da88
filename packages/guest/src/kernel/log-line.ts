/** Lines of the core in the kernel's log, as `pr_warn` prints them (Heki v2 1/19, 4/19, 14/19, 18/19, 19/19). */
export const LogLine = {
  NOT_ENABLED: 'heki-guest: Heki is not enabled',
  KASLR: 'heki-guest: Heki is disabled because KASLR is not supported yet',
  ENABLED: 'heki-guest: Heki is enabled',
  NO_HYPERVISOR: 'heki-guest: No support for Heki in the active hypervisor',
  HYPERVISOR: 'heki-guest: Heki is supported by the active Hypervisor',
  REGISTERS_LOCKED: 'heki-guest: Control registers locked',
  MEMORY_PROTECTED: 'heki-guest: Guest memory protected',
  PERMISSION_FAILED: 'heki-guest: Failed to set memory permission',
  RUNNING_TEST: 'heki-guest: Running test #',
  /** Not in the series, which assumes where the direct map is. */
  NO_DIRECT_MAP: 'heki-guest: No direct map found',
} as const;

import type { GuestDefectSwitches } from '../defects/guest-defects.ts';
import type { KernelConfig } from './kernel.ts';

/**
 * Why a kernel with this configuration cannot contain Heki, in the words of Kconfig; empty when it can (`config HEKI`,
 * Heki v2 1/19 and 18/19). RANDOMIZE_BASE is not a reason: such a kernel contains Heki, and refuses to start it.
 */
export function unmetDependencies(config: KernelConfig, defects: GuestDefectSwitches): string[] {
  return config.JUMP_LABEL === true && defects['B-G20']
    ? ['HEKI depends on !JUMP_LABEL, and JUMP_LABEL is set']
    : [];
}

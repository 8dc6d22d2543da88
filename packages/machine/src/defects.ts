import { guestDefects } from '@heki/guest';
import { linuxDefects } from '@heki/linux';
import { paravirtDefects } from '@heki/paravirt';
import type { Defects } from '@heki/series';

/** The defects of all layers of a guest, one switch each. Those of a hypervisor are in its package. */
export const machineDefects = {
  ...guestDefects,
  ...linuxDefects,
  ...paravirtDefects,
} as const satisfies Defects;

/** Those of them that a kernel from a snapshot has: what its own code does is over, only the core and the driver are added. */
export const snapshotDefects: Defects = { ...guestDefects, ...paravirtDefects };

/** The id of a defect of the guest's half. */
export type MachineDefectId = keyof typeof machineDefects;

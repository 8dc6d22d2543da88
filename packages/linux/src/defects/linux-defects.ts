import { B_G22, type DefectSwitches, type Defects } from '@heki/series';
import { B_G4 } from './b-g4.ts';
import { B_G10 } from './b-g10.ts';
import { B_G11 } from './b-g11.ts';
import { B_G12 } from './b-g12.ts';
import { B_G17 } from './b-g17.ts';

/** The defects of Heki v2's hooks in Linux, one switch each. Those of the guest core are in `@heki/guest`. */
export const linuxDefects = {
  'B-G4': B_G4,
  'B-G10': B_G10,
  'B-G11': B_G11,
  'B-G12': B_G12,
  'B-G17': B_G17,
  'B-G22': B_G22,
} as const satisfies Defects;

/** The id of a defect. */
export type LinuxDefectId = keyof typeof linuxDefects;

/** Which defects a kernel has. */
export type LinuxDefectSwitches = DefectSwitches<LinuxDefectId>;

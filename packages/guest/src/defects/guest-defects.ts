import { B_G8, B_G22, type DefectSwitches, type Defects } from '@heki/series';
import { B_G1 } from './b-g1.ts';
import { B_G2 } from './b-g2.ts';
import { B_G3 } from './b-g3.ts';
import { B_G5 } from './b-g5.ts';
import { B_G6 } from './b-g6.ts';
import { B_G7 } from './b-g7.ts';
import { B_G13 } from './b-g13.ts';
import { B_G14 } from './b-g14.ts';
import { B_G15 } from './b-g15.ts';
import { B_G16 } from './b-g16.ts';
import { B_G18 } from './b-g18.ts';
import { B_G20 } from './b-g20.ts';
import { B_G24 } from './b-g24.ts';

/** The defects of Heki v2's guest core, one switch each. Those of its hooks in Linux and of its drivers are theirs. */
export const guestDefects = {
  'B-G1': B_G1,
  'B-G2': B_G2,
  'B-G3': B_G3,
  'B-G5': B_G5,
  'B-G6': B_G6,
  'B-G7': B_G7,
  'B-G8': B_G8,
  'B-G13': B_G13,
  'B-G14': B_G14,
  'B-G15': B_G15,
  'B-G16': B_G16,
  'B-G18': B_G18,
  'B-G20': B_G20,
  'B-G22': B_G22,
  'B-G24': B_G24,
} as const satisfies Defects;

/** The id of a defect. */
export type GuestDefectId = keyof typeof guestDefects;

/** Which defects a core has. */
export type GuestDefectSwitches = DefectSwitches<GuestDefectId>;

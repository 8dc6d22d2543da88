import type { DefectSwitches, Defects } from '@heki/series';
import { B_ALIAS } from './b-alias.ts';
import { B_H1 } from './b-h1.ts';
import { B_H2 } from './b-h2.ts';
import { B_H3 } from './b-h3.ts';
import { B_H4 } from './b-h4.ts';
import { B_H5 } from './b-h5.ts';
import { B_H6 } from './b-h6.ts';
import { B_H7 } from './b-h7.ts';
import { B_H8 } from './b-h8.ts';
import { B_H9 } from './b-h9.ts';
import { B_H10 } from './b-h10.ts';
import { B_H11 } from './b-h11.ts';
import { B_H12 } from './b-h12.ts';
import { B_H13 } from './b-h13.ts';
import { B_H14 } from './b-h14.ts';
import { B_H15 } from './b-h15.ts';
import { B_H16 } from './b-h16.ts';
import { B_H17 } from './b-h17.ts';
import { B_H18 } from './b-h18.ts';
import { B_H19 } from './b-h19.ts';
import { B_H20 } from './b-h20.ts';
import { B_NESTED } from './b-nested.ts';

/** The defects of Heki v2's host half, one switch each. Everything that `rfc-v2` does otherwise than `hardened` hangs on one of these. */
export const kvmDefects = {
  'B-H1': B_H1,
  'B-H2': B_H2,
  'B-H3': B_H3,
  'B-H4': B_H4,
  'B-H5': B_H5,
  'B-H6': B_H6,
  'B-H7': B_H7,
  'B-H8': B_H8,
  'B-H9': B_H9,
  'B-H10': B_H10,
  'B-H11': B_H11,
  'B-H12': B_H12,
  'B-H13': B_H13,
  'B-H14': B_H14,
  'B-H15': B_H15,
  'B-H16': B_H16,
  'B-H17': B_H17,
  'B-H18': B_H18,
  'B-H19': B_H19,
  'B-H20': B_H20,
  'B-ALIAS': B_ALIAS,
  'B-NESTED': B_NESTED,
} as const satisfies Defects;

/** The id of a defect: `B-H1` ... `B-H20`, and `B-ALIAS` and `B-NESTED`, which were found when the model was built. */
export type KvmDefectId = keyof typeof kvmDefects;

/** Which defects a VM has. */
export type KvmDefectSwitches = DefectSwitches<KvmDefectId>;

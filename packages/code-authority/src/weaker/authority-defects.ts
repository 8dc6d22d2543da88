import type { DefectSwitches, Defects } from '@heki/series';
import { B_A1 } from './b-a1.ts';
import { B_A2 } from './b-a2.ts';
import { B_A3 } from './b-a3.ts';
import { B_A4 } from './b-a4.ts';
import { B_A5 } from './b-a5.ts';
import { B_A6 } from './b-a6.ts';
import { B_A7 } from './b-a7.ts';
import { B_A8 } from './b-a8.ts';
import { B_A9 } from './b-a9.ts';
import { B_A10 } from './b-a10.ts';
import { B_A11 } from './b-a11.ts';
import { B_A12 } from './b-a12.ts';
import { B_A13 } from './b-a13.ts';
import { B_A14 } from './b-a14.ts';

/** The weaker variants of authentication that were proposed or built, one switch each: none is on unless it is asked for. */
export const authorityDefects = {
  'B-A1': B_A1,
  'B-A2': B_A2,
  'B-A3': B_A3,
  'B-A4': B_A4,
  'B-A5': B_A5,
  'B-A6': B_A6,
  'B-A7': B_A7,
  'B-A8': B_A8,
  'B-A9': B_A9,
  'B-A10': B_A10,
  'B-A11': B_A11,
  'B-A12': B_A12,
  'B-A13': B_A13,
  'B-A14': B_A14,
} as const satisfies Defects;

/** The id of a weaker variant: `B-A1` ... `B-A14`. */
export type AuthorityDefectId = keyof typeof authorityDefects;

/** A switch for each. */
export type AuthorityDefectSwitches = DefectSwitches<AuthorityDefectId>;

import type { DefectSwitches, Defects } from '@heki/series';
import { B_A1 } from './b-a1.ts';
import { B_A2 } from './b-a2.ts';
import { B_A3 } from './b-a3.ts';
import { B_A4 } from './b-a4.ts';
import { B_A5 } from './b-a5.ts';
import { B_A6 } from './b-a6.ts';
import { B_A7 } from './b-a7.ts';
import { B_A8 } from './b-a8.ts';

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
} as const satisfies Defects;

/** The id of a weaker variant: `B-A1` ... `B-A8`. */
export type AuthorityDefectId = keyof typeof authorityDefects;

/** A switch for each. */
export type AuthorityDefectSwitches = DefectSwitches<AuthorityDefectId>;

import type { Defects } from '@heki/series';
import { B_G19 } from './b-g19.ts';
import { B_G21 } from './b-g21.ts';

/** The defects of Heki v2's drivers and of how a kernel comes to one, one switch each. */
export const paravirtDefects = {
  'B-G19': B_G19,
  'B-G21': B_G21,
} as const satisfies Defects;

/** The id of a defect. */
export type ParavirtDefectId = keyof typeof paravirtDefects;

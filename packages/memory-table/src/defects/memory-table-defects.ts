import { B_G8, type Defects } from '@heki/series';
import { B_G9 } from './b-g9.ts';

/** The defects of Heki v2's memory table (12/19), one switch each. */
export const memoryTableDefects = {
  'B-G8': B_G8,
  'B-G9': B_G9,
} as const satisfies Defects;

/** The id of a defect. */
export type MemoryTableDefectId = keyof typeof memoryTableDefects;

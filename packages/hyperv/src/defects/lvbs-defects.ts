import { type DefectChoices, type DefectSwitches, type Defects, defectSwitches } from '@heki/series';
import { B_L1 } from './b-l1.ts';
import { B_L2 } from './b-l2.ts';
import { B_L3 } from './b-l3.ts';
import { B_L4 } from './b-l4.ts';
import { B_L5 } from './b-l5.ts';
import { B_L6 } from './b-l6.ts';

/** What the secure kernel of LVBS accepts and should not, as its code was in February 2026 (litebox_platform_lvbs), one switch each. */
export const lvbsDefects = {
  'B-L1': B_L1,
  'B-L2': B_L2,
  'B-L3': B_L3,
  'B-L4': B_L4,
  'B-L5': B_L5,
  'B-L6': B_L6,
} as const satisfies Defects;

/** The id of a hole. */
export type LvbsDefectId = keyof typeof lvbsDefects;

/** Which holes the secure kernel has. */
export type LvbsDefectSwitches = DefectSwitches<LvbsDefectId>;

/** LVBS's secure kernel as it was published in February 2026, or with its holes closed. */
export type LvbsVersion = 'lvbs-2026-02' | 'hardened';

/** All switches on (`lvbs-2026-02`) or off (`hardened`), but for `choices`. */
export function lvbsDefectSwitches(
  version: LvbsVersion,
  choices: DefectChoices<LvbsDefectId> = {},
): LvbsDefectSwitches {
  return defectSwitches(lvbsDefects, version === 'lvbs-2026-02' ? 'rfc-v2' : 'hardened', choices);
}

export type { Defect, Defects, DefectText, SharedDefect } from './defect.ts';
export { type DefectChoices, type DefectSwitches, defectSwitches } from './defect-switches.ts';
export { nearMatches } from './near-matches.ts';
export { PROFILES, type Profile } from './profile.ts';
export { B_G8 } from './shared/b-g8.ts';
export { B_G22 } from './shared/b-g22.ts';

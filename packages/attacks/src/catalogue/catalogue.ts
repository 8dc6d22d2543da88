import type { LabAttack } from '../attack/lab-attack.ts';
import { BREAKPOINTS } from './breakpoints.ts';
import { CONTROLS } from './controls.ts';
import { EXECUTION } from './execution.ts';
import { FROM_OUTSIDE } from './from-outside.ts';
import { MODES } from './modes.ts';
import { RACES } from './races.ts';
import { REGISTERS } from './registers.ts';
import { REQUESTS } from './requests.ts';
import { SEALED_CODE } from './sealed-code.ts';
import { SEALED_MODULES } from './sealed-modules.ts';
import { SIGNED_CODE } from './signed-code.ts';
import { STORES } from './stores.ts';
import { WORK } from './work.ts';

/** Every attack, by what is attacked; last the work that is to go on. */
export const CATALOGUE: readonly LabAttack[] = [
  ...STORES,
  ...EXECUTION,
  ...BREAKPOINTS,
  ...REGISTERS,
  ...MODES,
  ...REQUESTS,
  ...SIGNED_CODE,
  ...SEALED_CODE,
  ...SEALED_MODULES,
  ...FROM_OUTSIDE,
  ...RACES,
  ...CONTROLS,
  ...WORK,
];

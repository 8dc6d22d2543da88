import type { Tour } from '../tour.ts';
import { aliasTour } from './alias.ts';
import { authenticationTour } from './authentication.ts';
import { pageListTour } from './page-list.ts';
import { remappingTour } from './remapping.ts';
import { violationTour } from './violation.ts';
import { walkTour } from './walk.ts';

/** The guided tours, each resting on those before. */
export const TOURS: readonly Tour[] = [
  walkTour,
  aliasTour,
  pageListTour,
  violationTour,
  authenticationTour,
  remappingTour,
];

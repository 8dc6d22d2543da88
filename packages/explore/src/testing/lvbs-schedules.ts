import { createHyperv, type LvbsDefectId } from '@heki/hyperv';
import { initHekiOnLvbs } from '@heki/paravirt';
import {
  type OtherProcessors,
  type ScheduledKernel,
  scheduledKernel,
} from '../schedules/scheduled-kernel.ts';

/** A kernel whose modules LVBS lets be loaded. */
export const lvbs = (others: OtherProcessors, ...defects: readonly LvbsDefectId[]): ScheduledKernel =>
  scheduledKernel(
    {
      name: 'lvbs',
      create: (trusted) =>
        createHyperv({ trusted, defects: Object.fromEntries(defects.map((id) => [id, true])) }),
      driver: initHekiOnLvbs,
    },
    others,
  );

/** One store of another processor. */
export const STORES: OtherProcessors = [['stores to']];

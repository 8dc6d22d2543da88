import type { ScheduledHypervisor } from '@heki/explore/schedules';
import { createHyperv } from '@heki/hyperv';
import { createKvm } from '@heki/kvm';
import { initHekiOnKvm, initHekiOnLvbs } from '@heki/paravirt';
import type { DefectChoices } from '@heki/series';

/** A hypervisor under a kernel whose schedules are looked at. */
export interface Scheduled {
  readonly on: string;
  make(defects: DefectChoices<string>): Omit<ScheduledHypervisor, 'name'>;
}

export const SCHEDULED: ReadonlyMap<string, Scheduled> = new Map<string, Scheduled>([
  ['kvm-schedules', { on: 'KVM', make: () => ({ create: () => createKvm(), driver: initHekiOnKvm }) }],
  [
    'lvbs-schedules',
    {
      on: 'the secure kernel of LVBS',
      make: (defects) => ({
        create: (trusted) => createHyperv({ trusted, defects }),
        driver: initHekiOnLvbs,
      }),
    },
  ],
]);

import type { Gpa, Pfn } from '@heki/physical-memory';

/** Why EPT refused an access. */
export type EptFault =
  | {
      /** Basic exit reason 48, or #VE when `convertible` and it can be delivered. */
      readonly kind: 'ept-violation';
      /** Exit qualification (SDM 3C 28.2.1, table 28-7). */
      readonly qualification: number;
      readonly gpa: Gpa;
      /** EPT-violation #VE is on and the deciding entry does not suppress it (SDM 3C 26.5.7.1). */
      readonly convertible: boolean;
    }
  | {
      /** Basic exit reason 49. The exit qualification and the guest-linear address carry nothing. */
      readonly kind: 'ept-misconfiguration';
      readonly gpa: Gpa;
    }
  | {
      /**
       * A table lies where the host has no memory. No processor reports this: it would read whatever the bus gives.
       * The model gives no invented bytes a meaning, and whoever runs the vCPU stops with an internal error.
       */
      readonly kind: 'absent-table';
      readonly gpa: Gpa;
      /** The host frame where a table should be. */
      readonly table: Pfn;
    };

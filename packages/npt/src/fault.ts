import type { Gpa, Pfn } from '@heki/physical-memory';

/** Why nested paging refused an access. */
export type NptFault =
  | {
      /** SVM_EXIT_NPF, 0x400. */
      readonly kind: 'nested-page-fault';
      /** EXITINFO1: `NPF_INFO1_BITS`. */
      readonly info1: bigint;
      /** EXITINFO2: the guest-physical address. */
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

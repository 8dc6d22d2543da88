import type { MachineOptions } from '@heki/machine';

/** A real kernel as a dump holds it: its page tables and registers, and what is known of the rest. */
export type SnapshotKernel = Pick<MachineOptions<never, never>, 'contents' | 'memoryMap' | 'crashKernel'> & {
  readonly kernel: Exclude<MachineOptions<never, never>['kernel'], { readonly root: undefined }>;
  readonly registers: MachineOptions<never, never>['registers'];
};

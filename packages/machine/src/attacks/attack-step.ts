import type { Exception, VmExit } from '@heki/vcpu';

/** One instruction of an attack, and what it met. */
export interface AttackStep {
  /** `store 0xcc to 0xffffffff81000000`. */
  readonly text: string;
  readonly outcome: 'done' | 'exception' | 'livelock' | 'halted' | 'absent-table';
  /** The exception that ended it or that comes again and again. */
  readonly exception: Exception | undefined;
  /** The exception was injected by the hypervisor. */
  readonly injected: boolean;
  /** The exits to the hypervisor on the way, in order; a livelock's only once. */
  readonly exits: readonly VmExit[];
  /** The bytes concerned are not in the snapshot: every check was made, but there are no contents to show. */
  readonly contentsAbsent: boolean;
}

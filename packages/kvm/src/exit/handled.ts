import type { ExitAction } from '@heki/vcpu';
import type { UserExit } from './vmm.ts';

/** What an exit leads to. */
export type Handled =
  | {
      readonly action: ExitAction;
      /** KVM_RUN returns with this before the guest goes on; what the VMM does changes nothing. */
      readonly userExit?: UserExit | undefined;
    }
  | {
      /** KVM_RUN returns. What the VMM does then, SRCU released, decides how the guest goes on: complete_userspace_io. */
      readonly inUserSpace: () => ExitAction;
    };

import type { MachineSpecification } from '@heki/machine';
import type { ExpectedRights, Step } from './schema/step-schema.ts';

/** A scenario with all that it includes. */
export interface ComposedScenario {
  readonly title?: string | undefined;
  readonly machine: MachineSpecification;
  /** Steps that are taken during boot, when the kernel makes its initcalls: before it frees init memory, and before Heki's late init. */
  readonly initcalls?: readonly Step[];
  readonly steps: readonly Step[];
  /** What the hypervisor is to grant in the end. */
  readonly expectRights?: readonly ExpectedRights[] | undefined;
}

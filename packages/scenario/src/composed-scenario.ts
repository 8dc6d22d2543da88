import type { Attack, MachineSpecification } from '@heki/machine';
import type { ExpectedRights, Step } from './schema/step-schema.ts';

/** A scenario with all that it includes. */
export interface ComposedScenario {
  readonly title?: string | undefined;
  readonly machine: MachineSpecification;
  /** Steps that are taken during boot, when the kernel makes its initcalls: before it frees init memory, and before Heki's late init. */
  readonly initcalls?: readonly Step[];
  readonly steps: readonly Step[];
  /** What steps can attack the kernel with, beside the attacks that come with heki. */
  readonly attacks?: readonly Attack[] | undefined;
  /** What the hypervisor is to grant in the end. */
  readonly expectRights?: readonly ExpectedRights[] | undefined;
  /** Where a scenario that comes from files says the value at a path, as `FILE:LINE:COLUMN`; `undefined` where it says nothing. */
  readonly placeOf?: ((...path: readonly string[]) => string | undefined) | undefined;
}

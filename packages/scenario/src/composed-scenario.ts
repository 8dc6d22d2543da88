import type { Attack, MachineSpecification } from '@heki/machine';
import type { ScenarioError } from './error.ts';
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
  /**
   * Of a scenario that comes from files: the error that the value at a path is wrong, with the place where it is said; `undefined` where no
   * file says it.
   */
  readonly wrongAt?: ((path: readonly string[], what: string) => ScenarioError | undefined) | undefined;
}

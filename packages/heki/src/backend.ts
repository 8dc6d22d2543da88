import type { BackendEvent, Hypervisor, VirtualMachine } from '@heki/hypervisor';
import type { HekiDriver, HypervisorSettings } from '@heki/machine';

/** A hypervisor, and the driver for it in the guest kernel. */
export interface Backend {
  /** As `--hypervisor` takes it. */
  readonly name: string;
  readonly title: string;
  readonly create: (settings: HypervisorSettings) => Hypervisor<VirtualMachine, BackendEvent>;
  /** `undefined`: the kernel finds no Heki there. */
  readonly driver: HekiDriver | undefined;
  /** No outside implementation has judged the model of it. */
  readonly unjudged: boolean;
  /** The ES module that it comes from, for one that does not come with heki. */
  readonly module?: string;
}

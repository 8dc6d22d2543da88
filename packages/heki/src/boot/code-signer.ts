import type { BackendEvent, VirtualMachine } from '@heki/hypervisor';
import type { MachineSpecification } from '@heki/machine';
import type { ScenarioMachineOptions } from '@heki/scenario';

type MakeCodeSigner = ScenarioMachineOptions<VirtualMachine, BackendEvent>['codeSigner'];

/** Makes who signs the code of a machine where it has an owner. What signatures are made and checked with is loaded for such a machine alone. */
export async function loadCodeSigner({
  authenticate = false,
}: MachineSpecification): Promise<MakeCodeSigner> {
  if (!authenticate) return undefined;
  const [{ createCodeSigner }, { nodeArithmetic }] = await Promise.all([
    import('@heki/machine/code-signer'),
    import('@heki/module-signature/node'),
  ]);
  return (kernel) => createCodeSigner(kernel, { arithmetic: nodeArithmetic });
}

import type { LinuxMachine } from '@heki/machine';
import { NotExpressible } from '../attack/not-expressible.ts';

type Vcpu = LinuxMachine['vcpus'][number];

/** What hypervisors of the KVM kind do for a guest, beside the contract. */
interface KvmWays {
  enterNested(vcpu: Vcpu, pointer: bigint, setup: { readonly host: { readonly cr4: bigint } }): boolean;
  leaveNested(vcpu: Vcpu): void;
  emulateMovToCr(vcpu: Vcpu, cr: 0 | 4, value: bigint): { readonly kind: string };
}

/** @throws {NotExpressible} when the hypervisor is none of these */
export function kvmWays({ virtualMachine }: Pick<LinuxMachine, 'virtualMachine'>): KvmWays {
  if (!hasKvmWays(virtualMachine))
    throw new NotExpressible('guests inside the guest and an emulator of MOV are modelled for KVM alone');
  return virtualMachine;
}

function hasKvmWays(
  machine: LinuxMachine['virtualMachine'],
): machine is LinuxMachine['virtualMachine'] & KvmWays {
  return ['enterNested', 'leaveNested', 'emulateMovToCr'].every((way) => way in machine);
}

import { createHyperv } from '@heki/hyperv';
import { createKvm, type KvmDefectId } from '@heki/kvm';
import { initHekiOnHyperv, initHekiOnKvm, initHekiOnXen } from '@heki/paravirt';
import type { Profile } from '@heki/series';
import { createXen } from '@heki/xen';
import { type BackendMachineOptions, backendMachine } from '../backend/backend-machine.ts';

type Explored = ReturnType<typeof backendMachine>;

/** KVM, whose guest hands it page lists, perhaps with one defect. */
export function kvmMachine(
  profile: Profile,
  defect?: KvmDefectId,
  options: BackendMachineOptions = {},
): Explored {
  const defects = defect === undefined ? {} : { [defect]: true };
  const create = () => createKvm({ profile, defects });
  return backendMachine(
    { name: 'kvm', create, driver: initHekiOnKvm, profile },
    { pageLists: true, ...options },
  );
}

export function hypervMachine(options: BackendMachineOptions = {}): Explored {
  const create = () => createHyperv({ trusted: {} });
  return backendMachine({ name: 'hyperv', create, driver: initHekiOnHyperv, profile: 'hardened' }, options);
}

export function xenMachine(options: BackendMachineOptions = {}): Explored {
  const create = () => createXen({});
  return backendMachine({ name: 'xen', create, driver: initHekiOnXen, profile: 'hardened' }, options);
}

/** Every backend. */
export const BACKEND_MACHINES: readonly (readonly [
  name: string,
  make: (options?: BackendMachineOptions) => Explored,
])[] = [
  ['KVM, rfc-v2', (options) => kvmMachine('rfc-v2', undefined, options)],
  ['KVM, hardened', (options) => kvmMachine('hardened', undefined, options)],
  ['Hyper-V', hypervMachine],
  ['Xen', xenMachine],
];

import type { Backend } from './backend.ts';
import { checkHypervisor, HYPERVISORS, isHypervisorName } from './hypervisors.ts';

/**
 * The hypervisor that the user names, KVM when he names none; or that of his own in the module at a path.
 *
 * @throws {UsageError} for an unknown name
 * @throws {InputError} for a module that cannot be loaded, or does not hold a backend
 */
export async function findBackend(name: string = 'kvm'): Promise<Backend> {
  if (isHypervisorName(name)) return HYPERVISORS[name];
  checkHypervisor(name);
  const { loadHypervisor } = await import('./modules/hypervisor-module.ts');
  return loadHypervisor(name);
}

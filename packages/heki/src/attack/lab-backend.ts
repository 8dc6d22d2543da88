import { HYPERVISORS, isHypervisorName } from '../hypervisors.ts';

/** The backend of a name that a machine of the list has. */
export function labBackend(name: string): (typeof HYPERVISORS)[keyof typeof HYPERVISORS] {
  if (!isHypervisorName(name)) throw new TypeError(`${name} is not the name of a hypervisor`);
  return HYPERVISORS[name];
}

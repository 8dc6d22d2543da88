import type { HekiHypervisor } from '@heki/guest';
import type { HekiDriver } from '@heki/machine';
import { InputError } from '../failure.ts';
import { guarded } from './checked-machine.ts';
import { fieldsOf, kindOf } from './import-module.ts';

/**
 * The driver in the module at `file`, whose mistakes, and those of the port that it fills, are told as the module's own.
 *
 * The functions of its result throw an {@link InputError} when the module's throw, or give something else than their types say.
 */
export function checkedDriver(file: string, driver: HekiDriver): HekiDriver {
  return (guest, options) => {
    const found: unknown = guarded(file, 'driver', () => driver(guest, options));
    if (typeof found !== 'boolean')
      throw new InputError(`driver gave ${kindOf(found)}, expected true or false`, { file });
    if (guest.hypervisor !== undefined) guest.hypervisor = checkedPort(file, guest.hypervisor);
    return found;
  };
}

/** @throws {InputError} when `port` is none */
function checkedPort(file: string, port: HekiHypervisor): HekiHypervisor {
  const given = fieldsOf(port);
  if (given === undefined) {
    throw new InputError(`the hypervisor that driver gave is ${kindOf(port)}, expected an object`, { file });
  }
  for (const name of ['lockCrs', 'protectMemory']) {
    if (typeof given[name] !== 'function')
      throw new InputError(
        `${name} of the hypervisor that driver gave is ${kindOf(given[name])}, expected a function`,
        { file },
      );
  }
  const answer = (name: string, ask: () => number): number => {
    const result: unknown = guarded(file, name, ask);
    if (typeof result === 'number' && Number.isSafeInteger(result)) return result;
    const found = typeof result === 'number' ? String(result) : kindOf(result);
    throw new InputError(`${name} gave ${found}, expected 0 or a negative error number`, { file });
  };
  return {
    lockCrs: () => answer('lockCrs', () => port.lockCrs()),
    protectMemory: (list) => answer('protectMemory', () => port.protectMemory(list)),
    ...(port.secureKernel === undefined ? {} : { secureKernel: port.secureKernel }),
  };
}

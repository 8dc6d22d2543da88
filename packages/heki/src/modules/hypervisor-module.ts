import type { BackendEvent, Capabilities, Hypervisor, VirtualMachine } from '@heki/hypervisor';
import type { HekiDriver, HypervisorSettings } from '@heki/machine';
import type { Backend } from '../backend.ts';
import { InputError } from '../failure.ts';
import { printable } from '../printable.ts';
import { checkedDriver } from './checked-driver.ts';
import { checkedMachine, guarded } from './checked-machine.ts';
import { fieldsOf, importModule, kindOf } from './import-module.ts';

/**
 * The backend in the ES module at `path`: its default export makes the hypervisor of settings, `driver` is the driver for it in the guest
 * kernel.
 *
 * @throws {InputError} when the module cannot be loaded, or exports something else
 */
export async function loadHypervisor(path: string): Promise<Backend> {
  const { default: create, driver } = await importModule(path);
  if (typeof create !== 'function') {
    const expected = 'a function that makes a hypervisor: (settings) => ({ name, capabilities, ... })';
    throw new InputError(`its default export is ${kindOf(create)}, expected ${expected}`, { file: path });
  }
  if (driver !== undefined && typeof driver !== 'function') {
    const expected = 'a function that fills the port of the guest: (guest, { vcpu }) => boolean, or none';
    throw new InputError(`its export driver is ${kindOf(driver)}, expected ${expected}`, { file: path });
  }
  const name = printable(path);
  return {
    name,
    title: `the backend in ${name}`,
    create: (settings) => makeHypervisor(path, create as (settings: HypervisorSettings) => unknown, settings),
    driver: driver === undefined ? undefined : checkedDriver(path, driver as HekiDriver),
    unjudged: true,
    module: path,
  };
}

/** @throws {InputError} when the module makes none of `settings`, or something else */
function makeHypervisor(
  path: string,
  create: (settings: HypervisorSettings) => unknown,
  settings: HypervisorSettings,
): Hypervisor<VirtualMachine, BackendEvent> {
  const made = guarded(path, 'its default export', () => create(settings));
  const fault = hypervisorFault(made, settings);
  if (fault !== undefined) throw new InputError(fault, { file: path });
  const hypervisor = made as Hypervisor<VirtualMachine, BackendEvent>;
  return {
    name: hypervisor.name,
    capabilities: hypervisor.capabilities,
    processor: hypervisor.processor,
    defects: hypervisor.defects,
    createVirtualMachine: (options) => checkedMachine(path, () => hypervisor.createVirtualMachine(options)),
    describe: (event) => guarded(path, 'describe', () => hypervisor.describe(event)),
  };
}

/** Fields of a declaration, and what `typeof` says of each. */
const CAPABILITIES: { readonly [name in keyof Required<Capabilities>]: readonly string[] } = {
  policyOwner: ['string'],
  executeSplit: ['string'],
  executeOnly: ['boolean'],
  readDenial: ['boolean'],
  immutability: ['object'],
  unrequested: ['object'],
  granule: ['number'],
  largePages: ['string'],
  pins: ['object'],
  bypasses: ['object'],
  inForce: ['string'],
  failure: ['string'],
  rangesPerCall: ['number', 'undefined'],
  authenticates: ['string', 'undefined'],
  denialsDecidedBy: ['string'],
  verdicts: ['object'],
  lifeCycle: ['object'],
  saveRestore: ['boolean'],
};

/** What is wrong with what a module made, as far as it can be seen without a machine: the conformance kit sees the rest. */
function hypervisorFault(made: unknown, { processor }: HypervisorSettings): string | undefined {
  const fields = fieldsOf(made);
  if (fields === undefined) return `its default export made ${kindOf(made)}, expected a hypervisor`;
  const { name: called, createVirtualMachine, describe, capabilities: declared, processor: own } = fields;
  if (typeof called !== 'string' || !/^[\w .-]{1,64}$/.test(called)) {
    return `the name of the hypervisor is ${shown(called)}, expected up to 64 letters, digits, spaces, dots and hyphens`;
  }
  for (const [name, value] of Object.entries({ createVirtualMachine, describe })) {
    if (typeof value !== 'function')
      return `${name} of the hypervisor is ${kindOf(value)}, expected a function`;
  }
  const capabilities = fieldsOf(declared);
  if (capabilities === undefined)
    return `capabilities of the hypervisor are ${kindOf(declared)}, expected an object`;
  for (const [name, kinds] of Object.entries(CAPABILITIES)) {
    const value = capabilities[name];
    if (!kinds.includes(typeof value) || value === null)
      return `capabilities.${name} is ${kindOf(value)}, expected ${kinds.join(' or ')}`;
  }
  const { name: has } = fieldsOf(own) ?? {};
  if (has !== processor.name) {
    return `the processor of the hypervisor is ${shown(has)}, expected ${processor.name}, which the settings name: --cpu names another`;
  }
  return undefined;
}

function shown(value: unknown): string {
  return typeof value === 'string' ? printable(JSON.stringify(value.slice(0, 80))) : kindOf(value);
}

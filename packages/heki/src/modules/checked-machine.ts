import { VcpuWaits, type VirtualMachine } from '@heki/hypervisor';
import { HekiError } from '@heki/physical-memory';
import { InputError, thrownText } from '../failure.ts';
import { fieldsOf, kindOf, placeIn } from './import-module.ts';
import { inModule, machineOfModule } from './module-call.ts';

type Method = Exclude<keyof VirtualMachine, 'vcpus' | 'checkpoint' | 'digest'>;

const METHODS: Readonly<Record<Method, true>> = {
  addMemory: true,
  removeMemory: true,
  createVcpu: true,
  effectiveRights: true,
  flush: true,
  protect: true,
  pin: true,
  write: true,
  lifeCycle: true,
  save: true,
  restore: true,
};

/**
 * What `body` gives, which is code of the module at `file`.
 *
 * @throws {InputError} when it throws; the packages' own errors stay as they are, and so does a virtual CPU's wait for another
 */
export function guarded<Value>(file: string, what: string, body: () => Value): Value {
  try {
    return inModule(file, what, body);
  } catch (error) {
    if (error instanceof HekiError || error instanceof VcpuWaits) throw error;
    throw new InputError(`${what} threw ${thrownText(error)}`, { file, ...placeIn(file, error) });
  }
}

/**
 * The virtual machine that the module at `file` makes, whose mistakes are told as the module's own.
 *
 * @throws {InputError} when it makes something else or throws, then or when a method is called later; the packages' own errors stay as they are
 */
export function checkedMachine(file: string, make: () => unknown): VirtualMachine {
  const guard = <Value>(what: string, body: () => Value): Value => guarded(file, what, body);
  machineOfModule();
  const made = guard('createVirtualMachine', make);
  const fields = fieldsOf(made);
  if (fields === undefined) {
    throw new InputError(`createVirtualMachine made ${kindOf(made)}, expected a virtual machine`, { file });
  }
  for (const name of Object.keys(METHODS)) {
    if (typeof fields[name] !== 'function') {
      throw new InputError(`${name} of the virtual machine is ${kindOf(fields[name])}, expected a function`, {
        file,
      });
    }
  }
  if (!Array.isArray(fields.vcpus)) {
    throw new InputError(`vcpus of the virtual machine are ${kindOf(fields.vcpus)}, expected an array`, {
      file,
    });
  }
  const machine = made as VirtualMachine;
  return {
    addMemory: (region) => guard('addMemory', () => machine.addMemory(region)),
    removeMemory: (start) => guard('removeMemory', () => machine.removeMemory(start)),
    createVcpu: (setup) => guard('createVcpu', () => machine.createVcpu(setup)),
    get vcpus() {
      return machine.vcpus;
    },
    effectiveRights: (frame) => guard('effectiveRights', () => machine.effectiveRights(frame)),
    flush: () => guard('flush', () => machine.flush()),
    protect: (ranges) => guard('protect', () => machine.protect(ranges)),
    pin: (request) => guard('pin', () => machine.pin(request)),
    write: (writer, address, bytes) => guard('write', () => machine.write(writer, address, bytes)),
    lifeCycle: (event) => guard('lifeCycle', () => machine.lifeCycle(event)),
    save: () => guard('save', () => machine.save()),
    restore: (state) => guard('restore', () => machine.restore(state)),
    ...(machine.checkpoint === undefined
      ? {}
      : { checkpoint: () => guard('checkpoint', () => machine.checkpoint?.()) }),
    ...(machine.digest === undefined
      ? {}
      : { digest: (digest) => guard('digest', () => machine.digest?.(digest)) }),
  };
}

import { createHekiGuest, parseBootParameters } from '@heki/guest';
import type { BackendEvent, VirtualMachine } from '@heki/hypervisor';
import { createLinuxKernel } from '@heki/linux';
import { initHekiOnKvm } from '@heki/paravirt';
import { createFrameAllocator, createRam, type Gfn, type Pfn } from '@heki/physical-memory';
import { createExceptionHandler } from '../exception-handler.ts';
import { layOutHost, machineMemory } from '../layout.ts';
import type { LinuxMachine, LinuxMachineOptions } from './linux-machine.ts';

/**
 * Builds a machine with empty memory and a kernel in it that has not booted yet: `kernel.boot()` boots it, Heki included. The
 * kernel's parts report into one trace.
 *
 * @throws {MachineError} when the memory map has no RAM
 * @throws {LinuxError} when memory has no room for the kernel
 */
export function createLinuxMachine<VM extends VirtualMachine, Event extends BackendEvent>(
  options: LinuxMachineOptions<VM, Event>,
): LinuxMachine<VM> {
  const { hypervisor, memoryMap, profile = 'hardened', commandLine = '' } = options;
  const driver = 'driver' in options ? options.driver : initHekiOnKvm;
  const { onEvent } = options;

  const ranges = machineMemory(memoryMap);
  const memory = createRam<Gfn>({ ranges });
  const host = layOutHost(ranges.map((range) => ({ ...range, memory })));
  const virtualMachine = hypervisor.createVirtualMachine({
    host: { memory: host.memory, frames: createFrameAllocator<Pfn>({ ranges: [host.tables] }) },
    ...(onEvent === undefined ? {} : { onEvent: (event) => onEvent({ from: 'hypervisor', event }) }),
  });
  for (const { start, end } of ranges) {
    virtualMachine.addMemory({
      start,
      frames: end - start,
      backing: host.backing(start),
      ...(options.hostPage === undefined ? {} : { largestLeaf: options.hostPage }),
    });
  }
  const spuriousFaults = options.spuriousFaults ?? (profile === 'rfc-v2' ? 'for-ever' : 'once');
  const vcpu = virtualMachine.createVcpu({
    onException: createExceptionHandler({ memory, cpu: hypervisor.processor, spuriousFaults }),
    ...(onEvent === undefined ? {} : { onEvent: (event) => onEvent({ from: 'vcpu', event }) }),
  });

  const { enabled } = parseBootParameters(commandLine);
  const kernel = createLinuxKernel({
    vcpu,
    memory,
    memoryMap,
    commandLine,
    hooks: profile,
    ...(options.kernel === undefined ? {} : { profile: options.kernel }),
    ...(options.levels === undefined ? {} : { levels: options.levels }),
    ...(options.kaslrSeed === undefined ? {} : { kaslrSeed: options.kaslrSeed }),
    ...(options.linuxDefects === undefined ? {} : { defects: options.linuxDefects }),
    heki: (port) =>
      createHekiGuest({
        kernel: port,
        profile,
        enabled,
        ...(options.guestDefects === undefined ? {} : { defects: options.guestDefects }),
        ...(options.kernelConfig === undefined ? {} : { config: options.kernelConfig }),
        ...(onEvent === undefined ? {} : { onEvent: (event) => onEvent({ from: 'guest', event }) }),
      }),
    initHypervisorPlatform(heki) {
      driver?.(heki, {
        vcpu: () => vcpu,
        profile,
        onWarning: (text) => onEvent?.({ from: 'machine', event: { type: 'driver-warning', text } }),
      });
    },
    ...(onEvent === undefined ? {} : { onEvent: (event) => onEvent({ from: 'kernel', event }) }),
  });
  const { heki } = kernel;
  if (heki === undefined) throw new TypeError('the kernel was given a core and has none');

  return {
    virtualMachine,
    vcpu,
    memoryMap,
    memory,
    kernel,
    heki,
  };
}

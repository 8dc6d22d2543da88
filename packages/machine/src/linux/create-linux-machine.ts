import { createHekiGuest, parseBootParameters } from '@heki/guest';
import type { BackendEvent, VirtualMachine } from '@heki/hypervisor';
import { createExceptionHandler, createLinuxKernel, type LinuxKernel, SECTION_FRAMES } from '@heki/linux';
import { type DriverMemory, initHekiOnKvm } from '@heki/paravirt';
import {
  createFrameAllocator,
  createRam,
  type FrameRange,
  type Gfn,
  type Pfn,
  type VirtualAddress,
  type VirtualFrame,
  virtualAddressOf,
} from '@heki/physical-memory';
import { performAttack } from '../attacks/perform-attack.ts';
import { MachineError } from '../error.ts';
import type { TraceEvent } from '../event.ts';
import { layOutHost, machineMemory } from '../layout.ts';
import type { HekiDriver } from '../machine.ts';
import type { LinuxMachine, LinuxMachineOptions } from './linux-machine.ts';

/** Memory that is plugged in lies above 4 GiB, as on a PC. */
const FOUR_GIB = 2 ** 20;
/** KVM_MAX_VCPUS of a default build. */
const MAX_VCPUS = 1024;

/**
 * Builds a machine with empty memory and a kernel in it that has not booted yet: `kernel.boot()` boots it, Heki included. The
 * kernel's parts report into one trace.
 *
 * @throws {MachineError} when the memory map has no RAM, or for a number of virtual CPUs that no machine has
 * @throws {LinuxError} when memory has no room for the kernel
 */
export function createLinuxMachine<VM extends VirtualMachine, Event extends BackendEvent>(
  options: LinuxMachineOptions<VM, Event>,
): LinuxMachine<VM> {
  const { hypervisor, memoryMap, profile = 'hardened', defects = {}, commandLine = '' } = options;
  const driver: HekiDriver | undefined = 'driver' in options ? options.driver : initHekiOnKvm;
  const { onEvent } = options;

  const ranges = machineMemory(memoryMap);
  const firstSection = Math.ceil(Math.max(memoryMap.ramEnd, FOUR_GIB) / SECTION_FRAMES);
  const sections = Array.from({ length: options.pluggable ?? 0 }, (_, index): FrameRange<Gfn> => {
    const start = (firstSection + index) * SECTION_FRAMES;
    return { start: start as Gfn, end: (start + SECTION_FRAMES) as Gfn };
  });
  const memory = createRam<Gfn>({ ranges: [...ranges, ...sections] });
  const host = layOutHost([...ranges, ...sections].map((range) => ({ ...range, memory })));
  const { attackable = false, processorEvents = false } = options;
  /** Records of attacks. */
  const listeners = new Set<(event: TraceEvent) => void>();
  const tell = (event: TraceEvent<Event>): void => {
    if (event.from !== 'vcpu' || processorEvents) onEvent?.(event);
    for (const listener of listeners) listener(event);
  };
  const virtualMachine = hypervisor.createVirtualMachine({
    host: { memory: host.memory, frames: createFrameAllocator<Pfn>({ ranges: [host.tables] }) },
    ...(onEvent === undefined && !attackable
      ? {}
      : { onEvent: (event) => tell({ from: 'hypervisor', event }) }),
  });
  const addMemory = ({ start, end }: FrameRange<Gfn>): void =>
    virtualMachine.addMemory({
      start,
      frames: end - start,
      backing: host.backing(start),
      ...(options.hostPage === undefined ? {} : { largestLeaf: options.hostPage }),
    });
  for (const range of ranges) addMemory(range);
  const spuriousFaults = options.spuriousFaults ?? (profile === 'rfc-v2' ? 'for-ever' : 'once');
  const vcpus = Array.from({ length: checkCount(options.vcpus ?? 1) }, () =>
    virtualMachine.createVcpu({
      onException: createExceptionHandler({
        memory,
        cpu: hypervisor.processor,
        spuriousFaults,
        hasFixup: () => kernel.hasFixup,
      }),
      ...((onEvent !== undefined && processorEvents) || attackable
        ? { onEvent: (event) => tell({ from: 'vcpu', event }) }
        : {}),
    }),
  );
  const [vcpu, ...secondaryVcpus] = vcpus;
  if (vcpu === undefined) throw new TypeError('a machine has a virtual CPU');

  const driverMemory: DriverMemory = {
    memory,
    allocatePage() {
      const page = kernel.allocatePages();
      return page.kind === 'done' ? page.value : undefined;
    },
    freePage: (frame) => kernel.freePages(frame),
    store(frame, offset, bytes) {
      const address = virtualAddressOf((kernel.layout.directMap + frame) as VirtualFrame) + BigInt(offset);
      return kernel.vcpu.storeBytes(address as VirtualAddress, bytes).kind === 'done';
    },
  };
  const { enabled } = parseBootParameters(commandLine);
  const kernel: LinuxKernel = createLinuxKernel({
    vcpu,
    secondaryVcpus,
    sendInit: (target) => virtualMachine.lifeCycle({ kind: 'init', vcpu: target.id }),
    memory,
    memoryMap,
    commandLine,
    hooks: profile,
    ...(options.kernel === undefined ? {} : { profile: options.kernel }),
    ...(options.interleave === undefined ? {} : { interleave: options.interleave }),
    ...(options.levels === undefined ? {} : { levels: options.levels }),
    ...(options.jumpLabels === undefined ? {} : { jumpLabels: options.jumpLabels }),
    ...(options.presentSignature === undefined ? {} : { presentSignature: options.presentSignature }),
    ...(options.kaslrSeed === undefined ? {} : { kaslrSeed: options.kaslrSeed }),
    defects,
    heki: (port) =>
      createHekiGuest({
        kernel: port,
        profile,
        enabled,
        defects,
        ...(options.kernelConfig === undefined ? {} : { config: options.kernelConfig }),
        ...(onEvent === undefined ? {} : { onEvent: (event) => onEvent({ from: 'guest', event }) }),
      }),
    initHypervisorPlatform(heki) {
      driver?.(heki, {
        vcpu: () => kernel.vcpu,
        memory: driverMemory,
        profile,
        defects,
        onWarning: (text) => onEvent?.({ from: 'machine', event: { type: 'driver-warning', text } }),
      });
    },
    ...(onEvent === undefined ? {} : { onEvent: (event) => onEvent({ from: 'kernel', event }) }),
  });
  const { heki } = kernel;
  if (heki === undefined) throw new TypeError('the kernel was given a core and has none');

  return {
    profile,
    capabilities: hypervisor.capabilities,
    virtualMachine,
    vcpus,
    memoryMap,
    memory,
    kernel,
    heki,
    attack(attack, targets) {
      if (!attackable) throw new MachineError('this machine was not made to be attacked');
      return performAttack({
        attack,
        targets,
        vcpu: kernel.vcpu,
        memory,
        listen(listener) {
          listeners.add(listener);
          return () => listeners.delete(listener);
        },
        emit: (event) => onEvent?.({ from: 'machine', event }),
      });
    },
    plugMemory() {
      const section = sections.shift();
      if (section !== undefined) addMemory(section);
      return section;
    },
    unplugMemory(section) {
      virtualMachine.removeMemory(section.start);
      sections.unshift(section);
    },
  };
}

function checkCount(vcpus: number): number {
  if (!Number.isSafeInteger(vcpus) || vcpus < 1 || vcpus > MAX_VCPUS) {
    throw new MachineError(`${vcpus} virtual CPUs: expected 1 to ${MAX_VCPUS}`);
  }
  return vcpus;
}

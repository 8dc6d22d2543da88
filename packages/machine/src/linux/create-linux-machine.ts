import { createHekiGuest, parseBootParameters } from '@heki/guest';
import { type BackendEvent, VcpuWaits, type VirtualMachine, type YieldPoint } from '@heki/hypervisor';
import { createExceptionHandler, createLinuxKernel, type LinuxKernel, SECTION_FRAMES } from '@heki/linux';
import { type DriverMemory, initHekiOnKvm } from '@heki/paravirt';
import {
  createFrameAllocator,
  createRam,
  type FrameRange,
  type Gfn,
  PAGE_WORDS,
  type Pfn,
  type PhysicalMemory,
  type VirtualAddress,
  type VirtualFrame,
  virtualAddressOf,
} from '@heki/physical-memory';
import type { Vcpu } from '@heki/vcpu';
import { createAskHypervisor } from '../attacks/ask.ts';
import type { Witness } from '../attacks/attack-step.ts';
import { createAttacker } from '../attacks/attacker.ts';
import { performAttack } from '../attacks/perform-attack.ts';
import { machineDefects } from '../defects.ts';
import { MachineError } from '../error.ts';
import type { TraceEvent } from '../event.ts';
import { layOutHost, machineMemory } from '../layout.ts';
import type { HekiDriver } from '../machine.ts';
import { checkDefects } from '../specification/defect-fault.ts';
import { machineSettings } from '../specification/machine-specification.ts';
import type { CodeSigner } from './code-signer.ts';
import type { LinuxMachine, LinuxMachineOptions } from './linux-machine.ts';

/** Memory that is plugged in lies above 4 GiB, as on a PC. */
const FOUR_GIB = 2 ** 20;
/** KVM_MAX_VCPUS of a default build. */
const MAX_VCPUS = 1024;

/**
 * Builds a machine with empty memory and a kernel in it that has not booted yet: `kernel.boot()` boots it, Heki included. The
 * kernel's parts report into one trace.
 *
 * @throws {MachineError} when the memory map has no RAM, for a number of virtual CPUs that no machine has, and for a defect that the guest and
 *   the hypervisor do not have
 * @throws {LinuxError} when memory has no room for the kernel
 */
export function createLinuxMachine<VM extends VirtualMachine, Event extends BackendEvent>(
  options: LinuxMachineOptions<VM, Event>,
): LinuxMachine<VM> {
  const { hypervisor, memoryMap, kernel: image, codeSigner, onEvent, ...specification } = options;
  const settings = machineSettings(specification);
  const { profile, defects, commandLine } = settings;
  checkDefects(defects, hypervisor, machineDefects);
  const driver: HekiDriver | undefined = 'driver' in options ? options.driver : initHekiOnKvm;

  const ranges = machineMemory(memoryMap);
  const firstSection = Math.ceil(Math.max(memoryMap.ramEnd, FOUR_GIB) / SECTION_FRAMES);
  const sections = Array.from({ length: settings.pluggable }, (_, index): FrameRange<Gfn> => {
    const start = (firstSection + index) * SECTION_FRAMES;
    return { start: start as Gfn, end: (start + SECTION_FRAMES) as Gfn };
  });
  const memory = createRam<Gfn>({ ranges: [...ranges, ...sections] });
  const host = layOutHost([...ranges, ...sections].map((range) => ({ ...range, memory })));
  const { attackable = false, processorEvents = false } = options;
  let { interleave } = options;
  const interleaved = options.interleaved === true || interleave !== undefined;
  /** Memory is added before there is a kernel. */
  let yieldKernel: (() => void) | undefined;
  let within: YieldPoint | undefined;
  const others = (): void => {
    try {
      interleave?.(within);
    } catch (stop) {
      if (!(stop instanceof VcpuWaits)) throw stop;
    }
  };
  /** Records of attacks. */
  const listeners = new Set<(event: TraceEvent) => void>();
  const tell = (event: TraceEvent<Event>): void => {
    if (event.from !== 'vcpu' || processorEvents) onEvent?.(event);
    for (const listener of listeners) listener(event);
  };
  const virtualMachine = hypervisor.createVirtualMachine({
    host: { memory: host.memory, frames: createFrameAllocator<Pfn>({ ranges: [host.tables] }) },
    onEvent:
      onEvent === undefined && !attackable ? undefined : (event) => tell({ from: 'hypervisor', event }),
    onYield: interleaved
      ? (at) => {
          within = at;
          yieldKernel?.();
          within = undefined;
        }
      : undefined,
  });
  const addMemory = ({ start, end }: FrameRange<Gfn>): void =>
    virtualMachine.addMemory({
      start,
      frames: end - start,
      backing: host.backing(start),
      largestLeaf: options.hostPage,
    });
  for (const range of ranges) addMemory(range);
  const vcpus = Array.from({ length: checkCount(settings.vcpus) }, () =>
    virtualMachine.createVcpu({
      onException: createExceptionHandler({
        ...settings,
        memory,
        cpu: hypervisor.processor,
        hasFixup: () => kernel.hasFixup,
      }),
      onEvent:
        (onEvent !== undefined && processorEvents) || attackable
          ? (event) => tell({ from: 'vcpu', event })
          : undefined,
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
    ...settings,
    vcpu,
    secondaryVcpus,
    sendInit: (target) => virtualMachine.lifeCycle({ kind: 'init', vcpu: target.id }),
    memory,
    memoryMap,
    commandLine,
    hooks: profile,
    build: image,
    interleave: interleaved ? others : undefined,
    jumpLabels: options.jumpLabels,
    presentSignature: options.presentSignature,
    moduleFile: codeSigner?.file,
    signedSites: codeSigner?.sites,
    defects,
    heki: (port) =>
      createHekiGuest({
        kernel: port,
        profile,
        enabled,
        defects,
        config: options.kernelConfig,
        onEvent: onEvent && ((event) => onEvent({ from: 'guest', event })),
      }),
    initHypervisorPlatform(heki) {
      driver?.(heki, {
        vcpu: () => kernel.vcpu,
        memory: driverMemory,
        authenticate: codeSigner && driverMemory,
        profile,
        defects,
        onWarning: (text) => onEvent?.({ from: 'machine', event: { type: 'driver-warning', text } }),
      });
    },
    onEvent: onEvent && ((event) => onEvent({ from: 'kernel', event })),
  });
  yieldKernel = () => kernel.yieldToOthers();
  if (codeSigner !== undefined) placeText(codeSigner, memory, kernel.layout.textFrame);
  const { heki } = kernel;
  if (heki === undefined) throw new TypeError('the kernel was given a core and has none');

  const askHypervisor = createAskHypervisor({ heki, memory: driverMemory });
  function witnessOn(vcpu: Vcpu): Witness {
    if (!attackable) throw new MachineError('this machine was not made to be attacked');
    return {
      vcpu,
      memory,
      listen(listener) {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
    };
  }

  return {
    profile,
    capabilities: hypervisor.capabilities,
    virtualMachine,
    vcpus,
    memoryMap,
    memory,
    kernel,
    hostFrame: host.backing,
    heki,
    get interleave() {
      return interleave;
    },
    set interleave(turn) {
      if (!interleaved) throw new MachineError('this machine was not made to be interleaved');
      interleave = turn;
    },
    attack: (attack, targets, vcpu = kernel.vcpu) =>
      performAttack({
        ...witnessOn(vcpu),
        attack,
        targets,
        askHypervisor,
        emit: (event) => onEvent?.({ from: 'machine', event }),
      }),
    attackerOn: (vcpu = kernel.vcpu) =>
      createAttacker({
        ...witnessOn(vcpu),
        directMap: virtualAddressOf(kernel.layout.directMap),
        askHypervisor,
        onBreakpoint: kernel.pokeInt3Handler,
      }),
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

/** What a boot loader does: the text of the signed kernel lies where the kernel does. The rest of the image reads zero. */
function placeText({ code }: CodeSigner, memory: PhysicalMemory<Gfn>, first: Gfn): void {
  const [text] = code.kernel.parts;
  if (text === undefined) return;
  const words = new Uint32Array(text.bytes.buffer, text.bytes.byteOffset, text.bytes.length / 4);
  for (let at = 0; at < words.length; at += PAGE_WORDS) {
    const page = words.subarray(at, at + PAGE_WORDS);
    if (page.some((word) => word !== 0)) memory.writablePage((first + at / PAGE_WORDS) as Gfn)?.set(page);
  }
}

function checkCount(vcpus: number): number {
  if (!Number.isSafeInteger(vcpus) || vcpus < 1 || vcpus > MAX_VCPUS) {
    throw new MachineError(`${vcpus} virtual CPUs: expected 1 to ${MAX_VCPUS}`);
  }
  return vcpus;
}

import {
  encodeHvResult,
  HV_MAP_GPA_FULL_ACCESS,
  HV_VP_SELF,
  HvRegister,
  HvSecureVtlConfig,
  HvVsmPartitionConfig,
} from '@heki/hypercall/hyperv';
import {
  type Capabilities,
  createGuestRegions,
  createHostFrames,
  HypervisorError,
  VcpuWaits,
  type VirtualMachineOptions,
  waitForEntry,
} from '@heki/hypervisor';
import { frameOf, type Gfn, type Gpa, PHYSICAL_ADDRESS_END, writeBytes } from '@heki/physical-memory';
import { createVcpu, type Vcpu } from '@heki/vcpu';
import { checkpointPartition, digestPartition } from './checkpoint.ts';
import type { HypervEvent } from './event.ts';
import { answerVtl1 } from './hypercall/handle-hypercall.ts';
import { applyIntercepts } from './intercept/apply-intercepts.ts';
import { handleExit } from './intercept/exit.ts';
import type { ResolvedOptions } from './options.ts';
import { flush, type Partition, switchVtl, type VirtualProcessor } from './partition/partition.ts';
import { createVtlMemory } from './partition/vtl-memory.ts';
import { createSecureKernel } from './secure-kernel/secure-kernel.ts';
import { createVtl1Port } from './secure-kernel/vtl1-port.ts';
import { restoreState, saveState } from './state/saved-state.ts';
import { createStatistics } from './statistics.ts';
import type { HypervVirtualMachine } from './virtual-machine.ts';

/** Protections on, and what pages have without a request. */
function configOf(defaultFlags: number): bigint {
  const shift = HvVsmPartitionConfig.DEFAULT_PROTECTION_SHIFT;
  return HvVsmPartitionConfig.ENABLE_VTL_PROTECTION | (BigInt(defaultFlags) << shift);
}

/** A partition whose loader has enabled VTL1 and started the secure kernel there, before the guest runs. */
export function createHypervVirtualMachine(
  options: ResolvedOptions,
  capabilities: Capabilities,
  { host, onEvent, onYield }: VirtualMachineOptions<HypervEvent>,
): HypervVirtualMachine {
  const { processor } = options;
  const regions = createGuestRegions(host.memory, (start, end) => partition.memory[0].asked(start, end));
  const hasMbec = processor.ept?.modeBasedExecute === true;
  const partition: Partition = {
    options,
    host,
    regions,
    memory: [
      createVtlMemory({ host, processor, regions, hostFrames: regions.hostFrames, mbec: options.mbec }),
      // Nothing is withheld from VTL1, under whatever name.
      createVtlMemory({ host, processor, regions, hostFrames: createHostFrames(), mbec: hasMbec }),
    ],
    processors: [],
    interceptsToCome: new Map(),
    // The loader starts VTL1 before the guest, and VTL1 begins by asking for these.
    config: configOf(HV_MAP_GPA_FULL_ACCESS),
    secureConfig:
      (options.mbec ? HvSecureVtlConfig.MBEC_ENABLED : 0n) |
      (options.tlbLock ? HvSecureVtlConfig.TLB_LOCKED : 0n),
    statistics: createStatistics(),
    emit: onEvent,
    onYield,
    suspended: false,
  };
  const { processors, memory } = partition;
  const [vtl0] = memory;
  const kernel = createSecureKernel(capabilities, options);

  /** VTL1 starts all protections over, with another default. */
  function startOver(defaultFlags: number): void {
    kernel.clear(createVtl1Port(partition));
    regions.hostFrames.replace([]);
    const [first] = processors;
    const config = { name: HvRegister.VSM_PARTITION_CONFIG, value: configOf(defaultFlags) };
    if (first === undefined) vtl0.configure(defaultFlags, options.mbec);
    else createVtl1Port(partition, first).set(HV_VP_SELF, 1, config);
  }

  function restart(target: VirtualProcessor, how: 'init' | 'reset'): void {
    const { vcpu } = target;
    target.pending = undefined;
    vcpu[how]();
    switchVtl(partition, target, 0);
    kernel.locked.started(createVtl1Port(partition, target), vcpu.id);
  }

  return {
    addMemory(region) {
      regions.add(region);
      for (const vtl of memory) vtl.add(region);
      flush(partition);
    },
    removeMemory(start) {
      const region = regions.remove(start);
      for (const vtl of memory) vtl.drop(region);
      flush(partition);
    },
    createVcpu(setup = {}) {
      const vcpu: Vcpu = createVcpu({
        ...setup,
        id: processors.length,
        memory: host.memory,
        processor,
        secondLevel: vtl0.second(),
        root: vtl0.root,
        onExit: (_vcpu, exit) => handleExit(partition, kernel, created, exit),
      });
      const created: VirtualProcessor = {
        vcpu,
        activeVtl: 0,
        intercepts: { control: 0n, cr0Mask: 0n, cr4Mask: 0n, miscEnableMask: 0n },
        pending: undefined,
        completed: false,
        next: undefined,
      };
      processors.push(created);
      kernel.locked.started(createVtl1Port(partition, created), vcpu.id);
      Object.assign(created.intercepts, partition.interceptsToCome.get(vcpu.id));
      applyIntercepts(created);
      return vcpu;
    },
    get vcpus() {
      return processors.map(({ vcpu }) => vcpu);
    },
    effectiveRights: (gfn) => vtl0.effective(gfn),
    flush: () => flush(partition),
    protect: (ranges) => kernel.protect(createVtl1Port(partition, processors[0]), ranges),
    pin: (request) => kernel.pin(createVtl1Port(partition, processors[0]), request, 'policy-owner'),
    write(writer, gpa, bytes) {
      if (bytes.length === 0) return { ok: true };
      if (gpa + bytes.length > PHYSICAL_ADDRESS_END) return { ok: false, why: 'not-memory', at: gpa };
      const bound = writer === 'hypervisor' || (writer === 'dma' && options.iommuPolicy);
      const last = frameOf((gpa + bytes.length - 1) as Gpa);
      for (let gfn = frameOf(gpa); gfn <= last; gfn = (gfn + 1) as Gfn) {
        const region = regions.find(gfn);
        const at = Math.max(gpa, gfn * 4096) as Gpa;
        if (region === undefined || regions.memory.page(gfn) === undefined) {
          return { ok: false, why: 'not-memory', at };
        }
        const readOnly = writer !== 'vmm' && region.readOnly === true;
        if (readOnly || (bound && !vtl0.rightsOf(gfn).write)) return { ok: false, why: 'denied', at };
      }
      writeBytes(regions.memory, gpa, bytes);
      return { ok: true };
    },
    lifeCycle(event) {
      if (event.kind === 'init') {
        const target = processors[event.vcpu];
        if (target === undefined) {
          throw new HypervisorError(`no virtual CPU ${event.vcpu}: expected 0 to ${processors.length - 1}`);
        }
        waitForEntry(target.vcpu);
        restart(target, 'init');
      } else if (event.kind === 'reset') {
        if (partition.suspended) throw new VcpuWaits('VTL1 is in the middle of a call');
        for (const { vcpu } of processors) waitForEntry(vcpu);
        startOver(HV_MAP_GPA_FULL_ACCESS);
        for (const each of processors) restart(each, 'reset');
      }
    },
    save: () => saveState({ partition, kernel, capabilities }),
    restore(state) {
      restoreState({ partition, kernel, capabilities }, state);
      return true;
    },
    checkpoint: () => checkpointPartition(partition, kernel),
    digest: (digest) => digestPartition(partition, kernel, digest),
    secureKernel: {
      trustModule: kernel.modules.trust,
      trustKexecImage: kernel.modules.trustKexec,
      get endOfBoot() {
        return kernel.endOfBoot;
      },
    },
    vtl1Hypercall(vcpu, control, input) {
      const caller = processors.find((each) => each.vcpu === vcpu);
      const { output, ...result } = answerVtl1(partition, caller, control, input);
      return { result: encodeHvResult(result), output };
    },
    activeVtl: (vcpu) => processors.find((each) => each.vcpu === vcpu)?.activeVtl ?? 0,
    statistics: partition.statistics,
    get tablePages() {
      return memory[0].tables + memory[1].tables;
    },
  };
}

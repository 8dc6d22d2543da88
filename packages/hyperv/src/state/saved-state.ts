import { HvSecureVtlConfig, HvVsmPartitionConfig } from '@heki/hypercall/hyperv';
import {
  badState,
  type Capabilities,
  checkProtectionState,
  departedOf,
  type ProtectionRange,
  type ProtectionState,
  VcpuWaits,
} from '@heki/hypervisor';
import { applyIntercepts } from '../intercept/apply-intercepts.ts';
import { flagsOfRights, isProtectionMask, rightsOfFlags } from '../partition/map-flags.ts';
import { flush, type Partition, switchVtl } from '../partition/partition.ts';
import { CR0_LOCKED, CR4_LOCKED } from '../secure-kernel/locked-registers.ts';
import type { SecureKernel } from '../secure-kernel/secure-kernel.ts';
import { createVtl1Port } from '../secure-kernel/vtl1-port.ts';
import { checkOwn, type HypervOwnState } from './own-state.ts';

/** What functions of this file work on. */
interface Parts {
  readonly partition: Partition;
  readonly kernel: SecureKernel;
  readonly capabilities: Capabilities;
}

/**
 * All that the hypervisor and the secure kernel hold for VTL0. `undefined` where VTL1 has set what no state can say, and in the middle of a
 * call.
 */
export function saveState(parts: Parts): ProtectionState | undefined {
  const { partition, kernel } = parts;
  if (partition.suspended) return undefined;
  const [vtl0] = partition.memory;
  const ranges: ProtectionRange[] = [];
  vtl0.forEachMask((flags, start, end) => ranges.push({ start, end, rights: rightsOfFlags(flags) }));
  const { cr0, cr4, registers } = kernel.locked;
  const vcpus = kernel.locked.save();
  const own: HypervOwnState = {
    backend: 'hyperv',
    config: partition.config,
    secureConfig: partition.secureConfig,
    intercepts: partition.processors.map(({ intercepts }) => ({ ...intercepts })),
    ...kernel.save(),
  };
  const state: ProtectionState = {
    ranges,
    otherwise: rightsOfFlags(vtl0.defaultFlags),
    cr0,
    cr4,
    registers,
    ...(kernel.endOfBoot ? { bootEnded: true } : {}),
    ...(vcpus.length === 0 ? {} : { vcpus }),
    ...departedOf(partition.regions.hostFrames),
    own,
  };
  try {
    checkState(parts, state);
  } catch {
    return undefined;
  }
  return state;
}

/**
 * Puts a state into a partition.
 *
 * @throws {HypervisorError} when this partition cannot have it, or no host frame is left for its tables; then nothing has changed
 * @throws {VcpuWaits} in the middle of a call
 */
export function restoreState(parts: Parts, state: ProtectionState): void {
  checkState(parts, state);
  if (parts.partition.suspended) throw new VcpuWaits('VTL1 is in the middle of a call');
  const before = memoryOf(parts);
  try {
    configureMemory(parts, state);
  } catch (error) {
    configureMemory(parts, before);
    throw error;
  }
  const { partition, kernel } = parts;
  const vtl1 = createVtl1Port(partition, partition.processors[0]);
  const own = state.own as HypervOwnState | undefined;
  kernel.endOfBoot = state.bootEnded === true;
  kernel.replace(
    own ?? {
      policy: { given: masksOf(state), claims: [] },
      patches: [],
      modules: { ...kernel.save().modules, loaded: [], frozen: [] },
    },
  );
  kernel.locked.replace(vtl1, state);
  partition.interceptsToCome.clear();
  for (const [vp, intercepts] of (own?.intercepts ?? []).entries()) {
    const processor = partition.processors[vp];
    if (processor === undefined) partition.interceptsToCome.set(vp, intercepts);
    else {
      Object.assign(processor.intercepts, intercepts);
      applyIntercepts(processor);
    }
  }
}

const masksOf = ({ ranges }: Pick<ProtectionState, 'ranges'>) =>
  ranges.map(({ start, end, rights }) => ({ start, end, flags: flagsOfRights(rights) }));

/** What VTL0's tables follow from. */
type MemoryState = Pick<ProtectionState, 'ranges' | 'otherwise' | 'departed' | 'own'>;

function memoryOf({ partition }: Parts): MemoryState {
  const [vtl0] = partition.memory;
  const ranges: ProtectionRange[] = [];
  vtl0.forEachMask((flags, start, end) => ranges.push({ start, end, rights: rightsOfFlags(flags) }));
  const { config, secureConfig } = partition;
  return {
    ranges,
    otherwise: rightsOfFlags(vtl0.defaultFlags),
    ...departedOf(partition.regions.hostFrames),
    own: { backend: 'hyperv', config, secureConfig } as HypervOwnState,
  };
}

/** Masks, the default and the configuration of protection, and the tables that follow from them. */
function configureMemory({ partition }: Parts, state: MemoryState): void {
  partition.regions.hostFrames.replace(state.departed ?? []);
  const own = state.own as HypervOwnState | undefined;
  const flags = flagsOfRights(state.otherwise);
  const shift = HvVsmPartitionConfig.DEFAULT_PROTECTION_SHIFT;
  const enabled = (own?.config ?? ~0n) & HvVsmPartitionConfig.ENABLE_VTL_PROTECTION;
  partition.config = enabled | (BigInt(flags) << shift);
  partition.secureConfig = own?.secureConfig ?? partition.secureConfig;
  partition.memory[0].configure(flags, hasMbec(partition.secureConfig), masksOf(state));
  for (const processor of partition.processors) switchVtl(partition, processor, processor.activeVtl);
  flush(partition);
}

function hasMbec(secureConfig: bigint): boolean {
  return (secureConfig & HvSecureVtlConfig.MBEC_ENABLED) !== 0n;
}

function checkState({ partition, capabilities }: Parts, state: ProtectionState): void {
  const own = state.own === undefined ? undefined : checkOwn(partition, state.own);
  const mbec = hasMbec(own?.secureConfig ?? partition.secureConfig);
  checkProtectionState(state, {
    backend: 'hyperv',
    capabilities: { ...capabilities, executeSplit: mbec ? 'user-without-supervisor' : 'none' },
    cr0: CR0_LOCKED,
    cr4: CR4_LOCKED,
    endsBoot: true,
  });
  const { config } = own ?? {};
  const flags = flagsOfRights(state.otherwise);
  if (config !== undefined && config >> HvVsmPartitionConfig.DEFAULT_PROTECTION_SHIFT !== BigInt(flags)) {
    throw badState(
      'own.config',
      config,
      `the default protection of all other memory, 0x${flags.toString(16)}`,
    );
  }
  for (const [index, { rights }] of state.ranges.entries()) {
    if (!isProtectionMask(flagsOfRights(rights), mbec)) {
      throw badState(`ranges[${index}].rights`, flagsOfRights(rights), 'a mask that VTL1 can set');
    }
  }
}

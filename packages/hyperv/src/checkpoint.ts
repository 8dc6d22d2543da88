import type { LvbsRange } from '@heki/hypercall/hyperv';
import type { StateDigest } from '@heki/physical-memory';
import type { Partition } from './partition/partition.ts';
import type { SecureKernel } from './secure-kernel/secure-kernel.ts';

/**
 * What brings the partition and its secure kernel back to where they are now. Statistics go on: nothing that a guest can meet depends on them. `undefined`
 * in the middle of a call.
 */
export function checkpointPartition(partition: Partition, kernel: SecureKernel): (() => void) | undefined {
  const { config, interceptsToCome, memory, processors, regions, secureConfig } = partition;
  if (partition.suspended) return undefined;
  const { endOfBoot } = kernel;
  const saved = kernel.save();
  const toCome = [...interceptsToCome];
  const kept = processors.map((processor) => ({ ...processor, intercepts: { ...processor.intercepts } }));
  const backs = [
    regions.checkpoint(),
    ...memory.map((vtl) => vtl.checkpoint()),
    kernel.locked.checkpoint(),
    ...processors.map(({ vcpu }) => vcpu.checkpoint()),
  ];
  return () => {
    partition.config = config;
    partition.secureConfig = secureConfig;
    interceptsToCome.clear();
    for (const [vp, intercepts] of toCome) interceptsToCome.set(vp, intercepts);
    processors.length = kept.length;
    for (const [vp, { vcpu: _, intercepts, ...rest }] of kept.entries()) {
      const processor = processors[vp];
      if (processor === undefined) continue;
      Object.assign(processor, rest);
      Object.assign(processor.intercepts, intercepts);
    }
    kernel.endOfBoot = endOfBoot;
    kernel.replace(saved);
    for (const back of backs) back();
  };
}

/**
 * Tells `digest` what {@link checkpointPartition} brings back but for the virtual CPUs. What VTL1 decided of the last intercept is left out: the next one begins without it. Modules
 * that the owner named are only counted, because they are never taken back.
 */
export function digestPartition(partition: Partition, kernel: SecureKernel, digest: StateDigest): void {
  const { config, interceptsToCome, memory, processors, regions, secureConfig } = partition;
  regions.digest(digest);
  for (const vtl of memory) vtl.digest(digest);
  digest.addU64(config);
  digest.addU64(secureConfig);
  digest.word(kernel.endOfBoot ? 1 : 0);
  kernel.locked.digest(digest);
  for (const { activeVtl, intercepts } of processors) {
    digest.word(activeVtl);
    for (const value of Object.values(intercepts)) digest.addU64(value);
  }
  for (const [vp, intercepts] of interceptsToCome) digest.addText(`${vp} ${Object.values(intercepts)}`);

  const { policy, patches, modules } = kernel.save();
  const ranges = (list: readonly LvbsRange[]): void => {
    for (const { pa, epa, attributes } of list) for (const value of [pa, epa, attributes]) digest.add(value);
    digest.word(-1);
  };
  for (const { start, end, flags } of policy.given)
    for (const value of [start, end, flags]) digest.add(value);
  digest.word(-1);
  for (const { start, end } of policy.claims) for (const value of [start, end]) digest.add(value);
  digest.word(-1);
  for (const { pa, secondPa, bytes } of patches) {
    for (const value of [pa, secondPa, bytes.length]) digest.add(value);
    for (const byte of bytes) digest.word(byte);
  }
  digest.word(-1);
  digest.addU64(modules.tokens);
  for (const { token, ranges: parts } of modules.loaded) {
    digest.addU64(token);
    ranges(parts);
  }
  digest.word(-1);
  for (const { crash, ranges: parts } of modules.frozen) {
    digest.word(crash ? 1 : 0);
    ranges(parts);
  }
  digest.word(modules.trusted.length);
  digest.word(modules.images.length);
}

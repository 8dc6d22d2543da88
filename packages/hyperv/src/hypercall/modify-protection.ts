import {
  decodeHvModifyProtection,
  HV_PARTITION_SELF,
  type HvControl,
  type HvResult,
  HvStatus,
  HvVsmPartitionConfig,
} from '@heki/hypercall/hyperv';
import { FRAME_END, type Gfn } from '@heki/physical-memory';
import { isProtectionMask } from '../partition/map-flags.ts';
import { flush, type Partition, yieldAt } from '../partition/partition.ts';

/**
 * HvCallModifyVtlProtectionMask: page by page from the rep start on, and what was done before a page that fails stays done and is
 * counted. Only a higher VTL restricts a lower one. It may be called again to relax: the hypervisor knows nothing immutable.
 */
export function modifyVtlProtectionMask(
  partition: Partition,
  callerVtl: 0 | 1,
  { repCount, repStart }: HvControl,
  input: Uint8Array,
): HvResult {
  const end = (status: number, repsCompleted = repStart): HvResult => ({ status, repsCompleted });
  const decoded = decodeHvModifyProtection(input, repCount);
  if (!decoded.ok) return end(HvStatus.INVALID_PARAMETER);
  const { partition: id, flags, targetVtl = callerVtl, pages } = decoded.message;
  // The order of the checks and their statuses are openvmm's (virt_mshv_vtl, hardware_cvm/mod.rs); that of the decoder comes first.
  if (id !== HV_PARTITION_SELF || targetVtl > callerVtl) return end(HvStatus.ACCESS_DENIED);
  if (targetVtl === 0) return end(HvStatus.INVALID_PARAMETER);
  if ((partition.config & HvVsmPartitionConfig.ENABLE_VTL_PROTECTION) === 0n) {
    return end(HvStatus.ACCESS_DENIED);
  }
  if (!isProtectionMask(flags, partition.memory[0].mbec)) return end(HvStatus.INVALID_REGISTER_VALUE);
  let done = repStart;
  let status: number = HvStatus.SUCCESS;
  while (done < repCount && status === HvStatus.SUCCESS) {
    const start = (pages[done] ?? 0) as Gfn;
    const region = start < FRAME_END ? partition.regions.find(start) : undefined;
    if (region === undefined) {
      status = HvStatus.OPERATION_DENIED;
      break;
    }
    // Pages in a row are done in one pass over the tables; the outcome is that of one after the other.
    const limit = region.start + region.frames;
    let run = 1;
    while (done + run < repCount && start + run < limit && pages[done + run] === start + run) run++;
    const protectedPages = partition.memory[0].protect(region, start, (start + run) as Gfn, flags);
    done += protectedPages;
    if (protectedPages < run) status = HvStatus.INSUFFICIENT_MEMORY;
  }
  partition.statistics.pages += done - repStart;
  if (done > repStart) {
    yieldAt(partition, 'zap');
    flush(partition);
  }
  return end(status, done);
}

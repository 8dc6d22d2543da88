import { createEpt } from '@heki/ept';
import { HypervisorError } from '@heki/hypervisor';
import { createNpt } from '@heki/npt';
import type { Pfn, PhysicalMemory } from '@heki/physical-memory';
import { tableMemory } from '../memslots/table-memory.ts';
import type { VmState } from '../vm-state.ts';
import { NestedView } from './nested-view.ts';

/**
 * The view of an L2 whose hypervisor has its tables at `pointer`: an EPTP, or nCR3. MBEC is off for it (the series clears the control in
 * vmcs02); GMET stays as it is for L1.
 *
 * @throws {EptError} when VM entry would fail for this EPTP
 * @throws {HypervisorError} when nCR3 is not a page-aligned physical address
 */
export function createNestedView(vm: VmState, pointer: bigint): NestedView {
  const processor = vm.options.processor;
  const memory = tableMemory(vm) as PhysicalMemory as PhysicalMemory<Pfn>;
  const lower = vm.tables.nestedView();
  if (processor.ept !== undefined)
    return new NestedView(createEpt({ memory, eptp: pointer, processor }), lower);
  if (pointer < 0n || pointer % 4096n !== 0n || pointer >> BigInt(processor.maxPhysicalAddressBits) !== 0n) {
    throw new HypervisorError(
      `nCR3 0x${pointer.toString(16)}: expected a page-aligned address below 2^${processor.maxPhysicalAddressBits}`,
    );
  }
  return new NestedView(createNpt({ memory, root: Number(pointer >> 12n) as Pfn, processor }), lower);
}

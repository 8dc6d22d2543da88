import type { HekiVariables } from '@heki/guest';
import { addressOf, type Gpa, readBytes, virtualAddressOf } from '@heki/physical-memory';
import { KernelStop } from '../outcome.ts';
import { pokeReadOnlyData } from '../text/poke-data.ts';
import type { TextState } from '../text/text-state.ts';
import type { HekiPlaces } from './heki-symbols.ts';

/**
 * Heki's variables in the image of a kernel, reached as the kernel reaches all memory: from the moment it runs on its own tables through its
 * processor, so that they are what anybody's stores made of them, and what page tables and the second level keep from being changed. An access that does
 * not complete ends the kernel's function.
 */
export function createHekiVariables(
  { layout, physicalMemory }: Pick<TextState, 'layout' | 'physicalMemory'>,
  places: HekiPlaces,
  kernel: () => TextState,
): HekiVariables {
  return {
    heki: places.heki,
    operations: places.heki_hypervisor,
    code: { lockCrs: places.lock_crs, protectMemory: places.protect_memory },
    load(address, bytes) {
      const loaded = kernel().memory.load(address, bytes);
      return bytes === 1 ? BigInt(loaded[0] ?? 0) : viewOf(loaded).getBigUint64(0, true);
    },
    store(address, bytes, value) {
      const stored = new Uint8Array(8);
      viewOf(stored).setBigUint64(0, value, true);
      const state = kernel();
      // Late init comes after mark_rodata_ro, and before the second level knows what is read-only.
      const readOnly = state.setToReadonly && !state.defects['B-G17'];
      if (readOnly) pokeReadOnlyData(state, address, stored.subarray(0, bytes));
      else state.memory.store(address, stored.subarray(0, bytes));
    },
    call(address, run) {
      const { vcpu, memory } = kernel();
      const { rip } = vcpu.registers;
      memory.fetch(address, 1);
      if (run === undefined) throw new KernelStop({ kind: 'hijacked', address });
      const result = run();
      vcpu.registers.rip = rip;
      return result;
    },
    peek(address) {
      const byte = new Uint8Array(1);
      const offset = Number(address - virtualAddressOf(layout.text));
      readBytes(physicalMemory, (addressOf(layout.textFrame) + offset) as Gpa, byte);
      return byte[0] ?? 0;
    },
  };
}

const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

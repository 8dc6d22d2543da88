import { frameOf } from '@heki/physical-memory';
import { type EmulatedMemory, Vector } from '@heki/vcpu';
import type { DomainState } from '../domain-state.ts';

/**
 * Guest memory as hvm_emulate_one() reaches it when an instruction meets a place without memory, or stores to p2m type ram_ro. It
 * looks at no access types: that the emulator is a bypass is declared.
 */
export function emulatedMemory({ regions }: DomainState): EmulatedMemory {
  return {
    memory: regions.memory,
    has: (gfn) => regions.find(gfn) !== undefined,
    takesFlags: (gfn) => regions.find(gfn)?.readOnly !== true,
    judge({ kind, gpa }) {
      const region = regions.find(frameOf(gpa));
      if (region === undefined) return 'device';
      return kind === 'write' && region.readOnly === true ? 'device' : 'memory';
    },
    onDevice() {},
    // hvm_hap_nested_page_fault(): what handle_mmio_with_translation() does not manage.
    failure: { kind: 'inject', exception: { vector: Vector.GP, errorCode: 0 } },
  };
}

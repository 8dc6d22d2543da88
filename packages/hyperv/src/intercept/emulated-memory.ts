import { HvAccess } from '@heki/hypercall/hyperv';
import { frameOf, type Gpa, type VirtualAddress } from '@heki/physical-memory';
import type { EmulatedMemory, PlainAction } from '@heki/vcpu';
import type { Partition } from '../partition/partition.ts';

/** A refused access, for the message to VTL1. */
export interface RefusedAccess {
  readonly access: (typeof HvAccess)[keyof typeof HvAccess];
  readonly gpa: Gpa;
  readonly linear: VirtualAddress;
}

/**
 * Guest memory as the virtualization stack's emulator reaches it when an instruction meets a place without memory, or stores to a ROM.
 * It is bound by VTL0's protections. *Unjudged.*
 */
export function emulatedMemory(
  { regions, memory: [vtl0] }: Pick<Partition, 'regions' | 'memory'>,
  intercept: (refused: RefusedAccess) => PlainAction,
): EmulatedMemory {
  return {
    memory: regions.memory,
    has: (gfn) => regions.find(gfn) !== undefined,
    takesFlags: (gfn) => regions.find(gfn)?.readOnly !== true && vtl0.rightsOf(gfn).write,
    judge({ kind, gpa, linear, userPage }) {
      const gfn = frameOf(gpa);
      const region = regions.find(gfn);
      if (region === undefined) return 'device';
      const { read, write, supervisorExecute, userExecute } = vtl0.rightsOf(gfn);
      switch (kind) {
        case 'read':
          return read ? 'memory' : intercept({ access: HvAccess.READ, gpa, linear });
        case 'write':
          if (!write) return intercept({ access: HvAccess.WRITE, gpa, linear });
          return region.readOnly === true ? 'device' : 'memory';
        case 'fetch': {
          const allowed = vtl0.mbec && !userPage ? supervisorExecute : userExecute;
          return allowed ? 'memory' : intercept({ access: HvAccess.EXECUTE, gpa, linear });
        }
      }
    },
    onDevice() {},
    failure: {
      kind: 'stop',
      why: 'an instruction, or the delivery of an exception, that cannot be emulated',
    },
  };
}

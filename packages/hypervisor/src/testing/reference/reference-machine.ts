import type { Gpa } from '@heki/physical-memory';
import type { Exception, Vcpu } from '@heki/vcpu';
import type { HostFrames } from '../../host-frames.ts';
import type { VirtualMachine } from '../../virtual-machine.ts';

/** The contract, and what its guests can do past it. */
export interface ReferenceMachine extends VirtualMachine {
  readonly hostFrames: HostFrames;
  /** Stores to guest memory before the guest runs, past everything. */
  load(gpa: Gpa, bytes: Uint8Array): void;
  emulatedMovToCr(vcpu: Vcpu, register: 0 | 4, value: bigint): Exception | undefined;
  emulatedStore(vcpu: Vcpu, gpa: Gpa, bytes: Uint8Array): Exception | undefined;
  enterNested(vcpu: Vcpu): boolean;
}

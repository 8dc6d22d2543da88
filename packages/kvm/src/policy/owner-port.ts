import type { Vcpu } from '@heki/vcpu';
import type { VmState } from '../vm-state.ts';
import type { PolicyExit } from './policy-exit.ts';

/** How a guest's exit reaches the owner of a policy, and how its decisions reach KVM. */
export interface OwnerPort {
  /** Reported as who asked, when the owner does something of its own accord. */
  readonly by: 'vmm' | 'policy-owner';
  /** What the owner reads page lists with: it sees memory through the slots of this VM, past the attributes of the guest. */
  readonly reader: () => VmState;
  /** The guest leaves with `exit`; what `decide` returns is the answer that it goes on with. */
  ask<Answer>(vcpu: Vcpu, exit: PolicyExit, decide: () => Answer): Answer;
  /** The owner acts of its own accord. */
  act<Result>(action: () => Result): Result;
  /** Sets the attributes of `start` .. `end` - 1. The owner has checked them: KVM takes them. */
  setAttributes(start: number, end: number, attributes: number): void;
  /** Sets the pinned bits, whatever they were. */
  setPins(cr0: bigint, cr4: bigint): void;
}

import { createEpt } from '@heki/ept';
import { HEKI_ATTRIBUTE_MASK } from '@heki/hypercall/kvm';
import { FRAME_END, type Gfn, type Pfn, type PhysicalMemory } from '@heki/physical-memory';
import { REFUSED, type SecondLevel } from '@heki/second-level';
import type { SecondLevelFault, Vcpu } from '@heki/vcpu';
import type { VmState } from '../vm-state.ts';

/** Tags what an L2 has cached, apart from L1's: no root table has an odd frame beyond all memory. */
const NESTED_ROOT = 2 ** 40 - 1;

/**
 * The second level of an L2: first the EPT that its hypervisor in L1 made, in L1's memory, then KVM's own. KVM keeps both in one
 * shadow table; what it grants is the same, because its leaves are made like all others (Heki v2 11/19).
 */
class NestedView implements SecondLevel<SecondLevelFault> {
  fault: SecondLevelFault | undefined;
  level = 1;
  rights = 0;
  /** The latest refusal was by L1's tables: L1's business. */
  reflected = false;
  readonly #upper: SecondLevel<SecondLevelFault>;
  readonly #lower: SecondLevel<SecondLevelFault>;

  constructor(upper: SecondLevel<SecondLevelFault>, lower: SecondLevel<SecondLevelFault>) {
    this.#upper = upper;
    this.#lower = lower;
  }

  translate(gfn: Gfn, offset: number, access: number): Pfn | typeof REFUSED {
    const frame = this.#upper.translate(gfn, offset, access);
    this.reflected = frame === REFUSED;
    if (frame === REFUSED) {
      this.fault = this.#upper.fault;
      return REFUSED;
    }
    // A host frame of L1's tables is a guest frame of ours.
    const host = this.#lower.translate(frame as number as Gfn, offset, access);
    if (host === REFUSED) this.fault = this.#lower.fault;
    this.level = Math.min(this.#upper.level, this.#lower.level);
    this.rights = this.#upper.rights & this.#lower.rights;
    return host;
  }
}

/** The virtual CPUs of a VM that run an L2. */
export type NestedCpus = Map<Vcpu, NestedView>;

/**
 * VMLAUNCH by a hypervisor inside the guest, with the EPTP that it wants for its L2. Whether the L2 runs.
 *
 * MBEC is off for it (the series clears the control in vmcs02), so that bit 2 of KVM's leaves decides about every fetch of an L2, its
 * user code's too. When memory is protected the mended code enters no L2: a page cannot be both.
 *
 * @throws {EptError} when VM entry would fail for this EPTP
 */
export function enterNested(vm: VmState, vcpu: Vcpu, eptp: bigint): boolean {
  if (!vm.defects['B-NESTED'] && isProtected(vm)) return false;
  const profile = vm.options.processor;
  const guestMemory = vm.memory as PhysicalMemory as PhysicalMemory<Pfn>;
  const view = new NestedView(createEpt({ memory: guestMemory, eptp, profile }), vm.tables.nestedView());
  vm.nested.set(vcpu, view);
  vcpu.useSecondLevel(view, NESTED_ROOT);
  vcpu.invept(NESTED_ROOT);
  return true;
}

/** A VM exit to L1: its own second level is in use again. */
export function leaveNested(vm: VmState, vcpu: Vcpu): void {
  if (vm.nested.delete(vcpu)) vcpu.useSecondLevel(vm.tables.view(), vm.tables.root);
}

/** The first protect call has succeeded: no L2 runs on. */
export function leaveAllNested(vm: VmState): void {
  if (vm.defects['B-NESTED']) return;
  for (const vcpu of [...vm.nested.keys()]) leaveNested(vm, vcpu);
}

/** Drops what virtual CPUs cached while they ran an L2. */
export function flushNested(vm: VmState): void {
  for (const vcpu of vm.nested.keys()) vcpu.invept(NESTED_ROOT);
}

function isProtected(vm: VmState): boolean {
  return !vm.attributes.equal(0, FRAME_END, 0, HEKI_ATTRIBUTE_MASK);
}

import { createEpt } from '@heki/ept';
import { HypervisorError } from '@heki/hypervisor';
import { createNpt } from '@heki/npt';
import type { Gfn, Pfn, PhysicalMemory } from '@heki/physical-memory';
import { REFUSED, type SecondLevel } from '@heki/second-level';
import type { SecondLevelFault } from '@heki/vcpu';
import type { VmState } from '../vm-state.ts';

/**
 * The second level of an L2: first the tables that its hypervisor in L1 made, in L1's memory, then KVM's own. KVM keeps both in one
 * shadow table; what it grants is the same, because its leaves are made like all others (Heki v2 11/19).
 */
export class NestedView implements SecondLevel<SecondLevelFault> {
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

/**
 * The view of an L2 whose hypervisor has its tables at `pointer`: an EPTP, or nCR3. MBEC is off for it (the series clears the control in
 * vmcs02); GMET stays as it is for L1.
 *
 * @throws {EptError} when VM entry would fail for this EPTP
 * @throws {HypervisorError} when nCR3 is no page-aligned physical address
 */
export function createNestedView(vm: VmState, pointer: bigint): NestedView {
  const profile = vm.options.processor;
  const memory = vm.memory as PhysicalMemory as PhysicalMemory<Pfn>;
  const lower = vm.tables.nestedView();
  if (profile.ept !== undefined) return new NestedView(createEpt({ memory, eptp: pointer, profile }), lower);
  if (pointer < 0n || pointer % 4096n !== 0n || pointer >> BigInt(profile.maxPhysicalAddressBits) !== 0n) {
    throw new HypervisorError(
      `nCR3 0x${pointer.toString(16)}: expected a page-aligned address below 2^${profile.maxPhysicalAddressBits}`,
    );
  }
  return new NestedView(createNpt({ memory, root: Number(pointer >> 12n) as Pfn, profile }), lower);
}

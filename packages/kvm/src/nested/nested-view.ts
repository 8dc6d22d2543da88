import type { Gfn, Pfn } from '@heki/physical-memory';
import { REFUSED, type SecondLevel } from '@heki/second-level';
import type { SecondLevelFault } from '@heki/vcpu';

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

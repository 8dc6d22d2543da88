import type { Gfn, Gpa, Pfn } from '@heki/physical-memory';
import { REFUSED, type SecondLevel, SecondLevelAccess, SecondLevelRights } from '@heki/second-level';
import type { SecondLevelFault } from '../exit.ts';

/** Rights of one guest frame. */
export interface Rights {
  readonly read?: boolean;
  readonly write?: boolean;
  /** Execution through supervisor-mode linear addresses. */
  readonly xs?: boolean;
  /** Execution through user-mode linear addresses. */
  readonly xu?: boolean;
}

export const ALL: Rights = { read: true, write: true, xs: true, xu: true };

/**
 * A second level that is a list: guest frame to host frame with rights, as EPT with MBEC and without accessed and dirty
 * flags would have them. Violations carry an EPT exit qualification.
 */
export class ListedSecondLevel implements SecondLevel<SecondLevelFault> {
  readonly #entries = new Map<number, { frame: number; rights: Rights }>();
  fault: SecondLevelFault | undefined;
  level = 1;
  rights = 0;
  /** Accesses that came here, rather than being answered from a cache. */
  asked = 0;
  /** Violations may become #VE. */
  convertible = false;

  /** Maps guest frames `start` .. `start + frames` - 1 to the same host frames plus `shift`. */
  map(start: number, frames: number, rights: Rights = ALL, shift = 0): void {
    for (let gfn = start; gfn < start + frames; gfn++) this.#entries.set(gfn, { frame: gfn + shift, rights });
  }

  unmap(gfn: number): void {
    this.#entries.delete(gfn);
  }

  translate(gfn: Gfn, offset: number, access: number): Pfn | typeof REFUSED {
    this.asked++;
    const entry = this.#entries.get(gfn);
    const { read = false, write = false, xs = false, xu = false } = entry?.rights ?? {};
    const wants = (bit: number): boolean => (access & bit) !== 0;
    const execute = wants(SecondLevelAccess.USER_PAGE) ? xu : xs;
    const allowed =
      entry !== undefined &&
      (read || !wants(SecondLevelAccess.READ)) &&
      (write || !wants(SecondLevelAccess.WRITE)) &&
      (execute || !wants(SecondLevelAccess.FETCH));
    if (!allowed) {
      const final = !wants(SecondLevelAccess.PAGING_STRUCTURE);
      const granted = (read ? 8 : 0) | (write ? 16 : 0) | (xs ? 32 : 0) | (xu ? 64 : 0);
      const qualification = (access & 7) | granted | 0x80 | (final ? 0x100 : 0);
      const gpa = (gfn * 4096 + offset) as Gpa;
      this.fault = { kind: 'ept-violation', qualification, gpa, convertible: this.convertible };
      return REFUSED;
    }
    const grants = SecondLevelRights;
    this.level = 1;
    this.rights =
      (read ? grants.READ | grants.READ_PAGING_STRUCTURE : 0) |
      (write ? grants.WRITE | grants.WRITE_PAGING_STRUCTURE : 0) |
      (xs ? grants.FETCH_SUPERVISOR : 0) |
      (xu ? grants.FETCH_SUPERVISOR_FROM_USER_PAGE | grants.FETCH_USER : 0);
    return entry.frame as Pfn;
  }
}

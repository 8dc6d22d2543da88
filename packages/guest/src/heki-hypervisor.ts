import type { Gpa } from '@heki/physical-memory';

/**
 * What the guest core asks of a hypervisor: the `heki_hypervisor` operations of the series (Heki v2 4/19 and
 * 18/19). The core knows no hypervisor; a driver fills this port.
 */
export interface HekiHypervisor {
  /** Pins CR0.WP and the pinned CR4 bits that are set. 0, or a negative error number. */
  lockCrs(): number;
  /** Enforces the page list at `list`, the guest-physical address of its newest page. 0, or a negative error number. */
  protectMemory(list: Gpa): number;
}

/** CR0.WP, the one bit that a pin of CR0 must contain (Heki v2 2/19). */
export const CR0_PIN_REQUIRED = 0x10000n;

/**
 * CR4 bits that can be pinned, Linux 6.6's `cr4_pinned_mask`: UMIP (11), FSGSBASE (16), SMEP (20), SMAP (21) and
 * CET (23). The guest asks for those of them that it has set (Heki v2 4/19).
 */
export const CR4_PINNED_MASK = 0xb10800n;

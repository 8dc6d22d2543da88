/** `hardened` mends the defects of the published series, `rfc-v2` has them all. */
export const PROFILES = ['hardened', 'rfc-v2'] as const;

/** The published series as it is, or with its defects mended: one of {@link PROFILES}. */
export type Profile = (typeof PROFILES)[number];

/** What is done with a mapping (`enum heki_cmd`, Heki v2 14/19 to 18/19). */
export const HekiCommand = {
  /** A mapping appeared: count its permissions. */
  MAP: 0,
  /** The permissions of a mapping change. */
  UPDATE: 1,
  /** A mapping goes. */
  UNMAP: 2,
  /** From now on enforce; send what the counters say for every page. */
  PROTECT_MEMORY: 3,
} as const;

/** One of {@link HekiCommand}. */
export type HekiCommand = (typeof HekiCommand)[keyof typeof HekiCommand];

/** One defect of the published memory table, as a switch and as text. */
export interface MemoryTableDefect {
  readonly title: string;
  /** What a user of the table meets. */
  readonly happens: string;
  /** Where in the code it comes from. */
  readonly why: string;
  /** What `hardened` does at the same place. */
  readonly mend: string;
}

/** The defects of Heki v2's memory table (12/19), one switch each. */
export const memoryTableDefects = {
  'B-G8': {
    title: 'A kernel without 5-level support keeps one table entry for all memory above 512 GiB',
    happens: 'Pages at and above 512 GiB share their value with the page 512 GiB below.',
    why: 'The levels are counted with CONFIG_PGTABLE_LEVELS (4), but the folded P4D with its one entry is among them, so the PGD is never reached; an index above the coverage is masked, not refused.',
    mend: 'The PGD is always the last level, and a frame above the coverage is refused.',
  },
  'B-G9': {
    title: 'Large entries are lost instead of split, and levels are off by one',
    happens:
      'Creating an entry under a large one drops the value of all its pages; find reports level 0 for a 4-KiB entry although the table was set up with base level 1.',
    why: 'mem_table_create puts an empty table over a leaf that it meets (splitting is left for later), and mem_table_find adds the base level to the pointer instead of to what it points to.',
    mend: 'A large entry is split, its pages keep their value, and levels count from the base level.',
  },
} as const satisfies { readonly [id: string]: MemoryTableDefect };

/** The id of a defect. */
export type MemoryTableDefectId = keyof typeof memoryTableDefects;

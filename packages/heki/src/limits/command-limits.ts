/** The most that the command itself takes or prints; of files by their kinds, see `INPUT_KINDS`. */
export const COMMAND_LIMITS = {
  /** Arrays and objects in each other. No JSON that the command reads has more than ten. */
  jsonNesting: 64,
  /** Objects, arrays, and elements of them, in JSON of whose kind nothing else is said: each may be wrong, and be told. */
  jsonValues: 200_000,
  /** Milliseconds that a named pipe may be silent, or have no process that writes to it. */
  silence: 8000,
  /** Milliseconds that standard input may be silent. */
  inputSilence: 60_000,
  /** Milliseconds that code of a module of the user's may run without handing back. */
  moduleSilence: 60_000,
  /** Frames of guest memory that a recording speaks of, in one slot of KVM's: 4 TiB. */
  recordedFrames: 2 ** 30,
  /** Mappings that `walk --format info-tlb` spells out, as QEMU does, where tables are shared: 180 MiB of text. */
  mappingsSpeltOut: 2 ** 22,
  /** Stretches of shared tables that `walk --json` lists: hostile tables may have millions. */
  sharedTables: 2 ** 16,
  /** Bytes of a kernel that are loaded: Debian's have 60 MB. */
  kernelBytes: 3 * 2 ** 26,
  /** How many times their size the files of a package may unpack to, from `packageBytes` on: those of kernels have ten. */
  packageInflation: 100,
  packageBytes: 2 ** 26,
  /** Ranges that `find` lists; it counts the others. */
  foundRanges: 2 ** 14,
  /** Bytes that one `heki read` gives. */
  readBytes: 2 ** 20,
} as const;

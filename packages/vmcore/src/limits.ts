const MIB = 2 ** 20;
const GIB = 2 ** 30;

/** The most that is read of a dump, or held of it. Each leaves room for ten times what real dumps have. */
export const DUMP_LIMITS = {
  /** Bytes that come through a pipe. What is larger is for a file, of which only what is needed is read. */
  pipeBytes: 8 * GIB,
  /** Milliseconds that a named pipe may be silent, or have no process that writes to it. */
  namedPipeSilence: 8000,
  /** Milliseconds that standard input may be silent: the program that writes to it may have to log in somewhere first. */
  inputSilence: 60_000,
  /** Milliseconds that a guest which runs may take for an answer. */
  guestSilence: 10_000,
  /** Milliseconds in which an answer of such a guest must be whole, however it comes. */
  guestAnswer: 30_000,
  /** Milliseconds that a web server may take for an answer, or between parts of one. */
  webSilence: 30_000,
  /** Milliseconds in which an answer of a web server must be whole, 8 MiB at most. */
  webAnswer: 600_000,
  /** Bytes of a file on the web that are kept in memory. */
  webCacheBytes: 32 * MIB,
  /** Bytes that a packed dump unpacks to. */
  unpackedBytes: 64 * GIB,
  /** How many times its size a packed dump may unpack to, from `inflationCountsFrom` bytes on: an idle guest of 64 GiB, packed by xz, has some hundred. */
  inflation: 1000,
  inflationCountsFrom: GIB,
  /** Bytes of it that are kept in memory; what is larger goes to a temporary file. */
  unpackedBytesInMemory: 64 * MIB,
  /** Bytes that temporary files leave free on their disk. */
  freeDisk: 256 * MIB,
  /** Pages that are kept in memory, where the caller does not say: 32 MiB. */
  cachedPages: 8192,
  /** A dump of QEMU has some ten PT_LOADs, a fixture of page tables some hundred, one of virtual ranges some thousand. */
  programHeaders: 2 ** 18,
  /** An empty note takes 12 bytes of the file, but some hundred in memory. */
  notes: 2 ** 16,
  /** Real notes take some kilobytes, and about one for each CPU. */
  noteBytes: 16 * MIB,
  /** Ranges of a LiME file; a machine has some ten ranges of RAM. */
  limeRanges: 2 ** 16,
  /** Chunks of a flattened kdump: a guest of 64 GiB has some hundred thousand. */
  flattenedChunks: 2 ** 20,
  /** Characters of what is told of a kernel as it stands in a file: its banner, its command line (2048 on x86), a name (512 of a symbol). */
  nameCharacters: 4096,
  /** Bytes of a kdump's bitmaps of pages: a guest of 32 TiB. */
  bitmapBytes: GIB,
  /** Bytes that are looked through: for a root of page tables where nothing names one, and in a raw image for VMCOREINFO. */
  searchedBytes: 64 * GIB,
  /** Page-table pages that a walk visits: 512 GiB in 4-KiB pages. */
  tablePages: 2 ** 18,
} as const;

const MIB = 2 ** 20;

/** What a file is read as. */
export interface InputKind {
  /** For people, after "expected". */
  readonly name: string;
  /** Most bytes of it, unpacked: a file of this kind that is larger is something else. */
  readonly mostBytes: number;
  /** Of JSON: most objects, arrays, and elements of them. Default `COMMAND_LIMITS.jsonValues`. */
  readonly mostValues?: number;
}

/** The text and JSON files that the command reads, each with room for ten times what real machines have. */
export const INPUT_KINDS = {
  /** A large server's /proc/iomem has some thousand lines, 64 bytes each. */
  memoryMap: { name: "the guest's /proc/iomem, or JSON with `iomem`", mostBytes: 4 * MIB },
  /** That of a kernel with everything has 300 KiB. */
  kernelConfig: { name: "a kernel's .config", mostBytes: 4 * MIB },
  /** /proc/kallsyms of a kernel with all modules has 12 MiB. */
  kernelSymbols: {
    name: "a kernel's System.map or /proc/kallsyms, or JSON with `symbols`",
    mostBytes: 64 * MIB,
  },
  /** A bzImage has 15 MB, a package 30 MB, a vmlinux with debug information 1 GB. */
  kernelImage: {
    name: 'vmlinux, a bzImage (vmlinuz), or a Debian package of a kernel',
    mostBytes: 2048 * MIB - 1,
  },
  /** The memory map and some symbols of one guest. */
  sidecar: { name: 'the JSON that goes with a snapshot', mostBytes: 16 * MIB },
  /** Ten thousand steps, which are the most that a scenario may have, take 1 MiB. */
  scenario: { name: 'a scenario', mostBytes: 4 * MIB },
  /** A hypervisor of somebody's own takes some hundred lines; a bundle of one with its libraries may have a megabyte. */
  module: { name: 'an ES module', mostBytes: 16 * MIB },
  /** A finding that is accepted takes some hundred bytes. */
  baseline: { name: 'a baseline of the audit', mostBytes: 4 * MIB },
  /** A story of a hundred actions takes some kilobytes. */
  stories: { name: 'what heki explore --json printed', mostBytes: 4 * MIB },
  /** One of these. */
  inspectedStory: {
    name: 'what heki explore --json or heki attack --json printed, or a scenario',
    mostBytes: 4 * MIB,
  },
  /** A state takes some 30 bytes. */
  search: { name: 'what heki explore --resume keeps', mostBytes: 256 * MIB, mostValues: 40_000_000 },
  /** A million guests by addresses of a hundred characters. */
  manifest: { name: 'a manifest of guests', mostBytes: 128 * MIB, mostValues: 3_000_000 },
  /** That which comes with heki has 50 KiB. */
  pageTemplate: { name: 'the page of the audit that comes with heki', mostBytes: 4 * MIB },
  /** That of a kernel with 139 modules, loaded and unloaded twice, has 20 MiB. */
  recording: { name: "a recording of a kernel's life", mostBytes: 64 * MIB, mostValues: 3_000_000 },
} as const satisfies Readonly<Record<string, InputKind>>;

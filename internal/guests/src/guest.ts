/** A guest to boot, stop and dump. */
export interface Guest {
  /** Of the fixture. */
  readonly name: string;
  /** What is foreign about it, in a line. */
  readonly about: string;
  /** The Debian package of its kernel, without `linux-image-`. */
  readonly kernel: string;
  /** The kernel's command line, after `console=ttyS0 panic=-1`. */
  readonly cmdline: string;
  readonly cpu: string;
  /** As QEMU's option -m takes it. */
  readonly memory: string;
  readonly cpus?: number;
  /** Options of QEMU beside those of every guest. */
  readonly qemu?: readonly string[];
  /** Whether its RAM is in a file that others can read. */
  readonly ramInFile?: boolean;
  /** Whether QEMU has the device that hands VMCOREINFO over. Default: yes. */
  readonly vmcoreinfo?: boolean;
  readonly modules?: readonly string[];
  /** Lines of shell in the guest before it is dumped. */
  readonly commands?: readonly string[];
  /** Files in the guest: path there to path here, a source in C, `PACKAGE:/path` of a Debian package, or `KERNEL` for its own image. */
  readonly files?: Readonly<Record<string, string>>;
  /** QMP commands that plug something in while the guest runs, before its own `commands`. */
  readonly plug?: readonly (readonly [command: string, parameters: Readonly<Record<string, unknown>>])[];
  /** Where it is stopped. Default: wherever it is. */
  readonly stop?: 'user-mode' | 'system-call-entry';
  /** Tells all of its /proc/kallsyms and where its modules' sections are, which takes a minute more. */
  readonly symbols?: boolean;
  /** Keeps the user half of its tables in the fixture. */
  readonly user?: boolean;
}

/** What a guest was found to be when it was dumped. */
export interface GuestFacts {
  readonly qemuVersion: string;
  readonly qemuCommand: string;
  readonly kernel: string;
  readonly cmdline: string;
  readonly iomem: readonly string[];
  readonly modules: readonly string[];
  readonly directMap: readonly string[];
  readonly symbols: Readonly<Record<string, string>>;
  readonly cpuFlags: string;
  readonly wxCheck: readonly string[];
  readonly crashKernelLoaded: boolean;
  /** By CPU: `cr0`, `cr3`, `cr4`, `efer`, `cpl`, hexadecimal. */
  readonly registers: readonly Readonly<Record<string, string>>[];
}

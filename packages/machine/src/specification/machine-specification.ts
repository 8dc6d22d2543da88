import type { SpuriousFaultRetry } from '@heki/linux';
import type { Profile } from '@heki/series';
import type { PagingLevels } from '@heki/x86';
import type { ProcessorChanges } from './processor.ts';

/**
 * What a machine is, as one piece of data: it can be written as JSON, handed on, and changed by spreading. What it leaves open has a
 * default ({@link machineSettings}). Whoever reads one from outside checks it with the schema in `@heki/scenario/schema`.
 */
export interface MachineSpecification {
  /** RAM, a number of MiB or GiB from 64MiB to 256GiB. Default `512MiB`. */
  readonly memory?: string | undefined;
  /** Sections of 128 MiB that can be plugged in later. Default 0. */
  readonly pluggable?: number | undefined;
  /** Virtual CPUs, at least 1; the first one boots. Default 1. */
  readonly vcpus?: number | undefined;
  /** The processor: the name of a CPU profile, or a profile with changes. Default `intel-vt-rp`. */
  readonly cpu?: string | ProcessorChanges | undefined;
  /** Mode-based execute control, on AMD GMET; without effect where the processor has none. Default true. */
  readonly mbec?: boolean | undefined;
  /** Devices meet the rights of pages (DMA remapping), on backends that have it. Default false. */
  readonly iommu?: boolean | undefined;
  /** HLAT, paging-write and guest-paging verification (Intel VT-rp): `kvm` alone, on a processor that has them. Default false. */
  readonly hlat?: boolean | undefined;
  /** The hypervisor owns the kernel's code, once boot is over: `kvm` alone, with mode-based execute control or GMET. Default false. */
  readonly authenticate?: boolean | undefined;
  /**
   * The name of a backend; `none`: one that has no Heki; or the path of an ES module that makes one, relative to the file that this stands
   * in ({@link isModulePath}). Default `kvm`.
   */
  readonly hypervisor?: string | undefined;
  /** What runs in Hyper-V's VTL1: LVBS's secure kernel as published in February 2026, or with its holes closed. Default `hardened`. */
  readonly secureKernel?: SecureKernel | undefined;
  /** The published series, or with its defects mended. Default `hardened`. */
  readonly profile?: Profile | undefined;
  /** Single defects, by their ids, switched on or off against the profile. Default none. */
  readonly defects?: SpecifiedDefects | undefined;
  /** A file with a kernel's symbols, relative to the file that this stands in. Default: Debian's 6.1. */
  readonly kernel?: string | undefined;
  /** The kernel's command line: `heki=0`, `nokaslr`, `rodata=off`, `pti=on`. Default empty. */
  readonly commandLine?: string | undefined;
  /** Paging levels. Default 4. */
  readonly levels?: PagingLevels | undefined;
  /** Seed of KASLR, 0 to 2^32 - 1; without it nothing is randomized. */
  readonly kaslrSeed?: number | undefined;
  /** What the page-fault handler does about faults that it cannot explain. Default by profile: `rfc-v2` is Linux as it is. */
  readonly spuriousFaults?: SpuriousFaultRetry | undefined;
}

/** What of a specification is the hypervisor's alone: the kernel in it has no part in it. */
export type HypervisorKey = 'mbec' | 'iommu' | 'hlat' | 'authenticate' | 'secureKernel';

/** Defects of any layer by their ids, each switched on or off. {@link defectFault} tells whether a machine has them. */
export type SpecifiedDefects = Readonly<Record<string, boolean>>;

/** Secure kernels that Hyper-V's VTL1 can run. */
export const SECURE_KERNELS = ['hardened', 'lvbs-2026-02'] as const;

/** One of {@link SECURE_KERNELS}. */
export type SecureKernel = (typeof SECURE_KERNELS)[number];

/** A specification with nothing left open, but for what has no default. */
export type MachineSettings = {
  readonly [key in keyof MachineSpecification]-?: key extends OpenKey
    ? MachineSpecification[key]
    : NonNullable<MachineSpecification[key]>;
};

/** Without a kernel's file it is Debian's 6.1; without a seed there is no KASLR. */
type OpenKey = 'kernel' | 'kaslrSeed';

/** What a specification leaves open, filled. */
export function machineSettings(specification: MachineSpecification): MachineSettings {
  const profile = specification.profile ?? 'hardened';
  return {
    memory: specification.memory ?? '512MiB',
    kernel: specification.kernel,
    vcpus: specification.vcpus ?? 1,
    pluggable: specification.pluggable ?? 0,
    levels: specification.levels ?? 4,
    kaslrSeed: specification.kaslrSeed,
    commandLine: specification.commandLine ?? '',
    hypervisor: specification.hypervisor ?? 'kvm',
    secureKernel: specification.secureKernel ?? 'hardened',
    profile,
    defects: specification.defects ?? {},
    mbec: specification.mbec ?? true,
    iommu: specification.iommu ?? false,
    hlat: specification.hlat ?? false,
    authenticate: specification.authenticate ?? false,
    cpu: specification.cpu ?? 'intel-vt-rp',
    spuriousFaults: specification.spuriousFaults ?? (profile === 'rfc-v2' ? 'for-ever' : 'once'),
  };
}

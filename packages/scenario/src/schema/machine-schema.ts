import {
  isMemorySize,
  type MachineSpecification,
  MEMORY_SIZE,
  OPTIONAL_FEATURES,
  SECURE_KERNELS,
} from '@heki/machine';
import { MACHINE_LIMITS } from '@heki/machine/limits';
import { PROFILES } from '@heki/series';
import { AMD_ZEN4, CPU_PROFILES, INTEL_VT_RP } from '@heki/x86';
import { z } from 'zod';

const profileName = z.enum(CPU_PROFILES.map(({ name }) => name));

/** Features that can be switched, by their names in the second level of a profile. */
function features(of: object | undefined): z.ZodObject<Record<string, z.ZodOptional<z.ZodBoolean>>> {
  return z.strictObject(
    Object.fromEntries(Object.keys(of ?? {}).map((name) => [name, z.boolean().optional()])),
  );
}

/** A processor that is a profile with changes. */
export const processorSchema = z
  .strictObject({
    base: profileName.describe('The CPU profile that is changed'),
    without: z
      .array(z.enum(OPTIONAL_FEATURES))
      .optional()
      .describe('Features of CR4 that the processor does not have'),
    maxPhysicalAddressBits: z.int().min(36).max(52).optional().describe('MAXPHYADDR'),
    gigabytePages: z.boolean().optional(),
    ept: features(INTEL_VT_RP.ept).optional().describe("Features of EPT, for a profile of Intel's"),
    npt: features(AMD_ZEN4.npt).optional().describe("Features of nested paging, for a profile of AMD's"),
  })
  .describe('A profile with changes');

/** What a machine is. */
export const machineSchema = z.strictObject({
  memory: z
    .string()
    .regex(/^[1-9]\d*(MiB|GiB)$/, `expected ${MEMORY_SIZE}`)
    .refine(isMemorySize, `expected ${MEMORY_SIZE}`)
    .optional()
    .describe('RAM. Default 512MiB'),
  pluggable: z
    .int()
    .min(0)
    .max(64)
    .optional()
    .describe('Sections of 128 MiB that plug-memory takes. Default 0'),
  kernel: z
    .string()
    .min(1)
    .optional()
    .describe(
      "A file with a kernel's symbols, relative to this one: System.map, /proc/kallsyms. Default: Debian's 6.1",
    ),
  vcpus: z.int().min(1).max(MACHINE_LIMITS.vcpus).optional().describe('Default 1'),
  levels: z.literal([4, 5]).optional().describe('Paging levels. Default 4'),
  kaslrSeed: z
    .int()
    .min(0)
    .max(2 ** 32 - 1)
    .optional()
    .describe('Seed of KASLR. Without it nothing is randomized'),
  commandLine: z.string().optional().describe('heki=0, rodata=off, nokaslr, pti=on, nosmp, maxcpus=N'),
  hypervisor: z
    .string()
    .optional()
    .describe(
      'Name of a backend; `none`: one that has no Heki; or an ES module that makes one, relative to this file: its code is run. Default kvm',
    ),
  secureKernel: z
    .enum(SECURE_KERNELS)
    .optional()
    .describe("What runs in Hyper-V's VTL1: LVBS's as published, or with its holes closed. Default hardened"),
  profile: z.enum(PROFILES).optional().describe('Default hardened'),
  defects: z
    .record(z.string().min(1).max(32), z.boolean())
    .optional()
    .describe('Single defects, by their ids, switched on or off against the profile: { "B-H1": true }'),
  mbec: z.boolean().optional().describe('Mode-based execute control. Default true'),
  iommu: z.boolean().optional().describe('Devices meet the rights of pages. Default false'),
  hlat: z
    .boolean()
    .optional()
    .describe('HLAT, paging-write and guest-paging verification (Intel VT-rp), on KVM. Default false'),
  authenticate: z
    .boolean()
    .optional()
    .describe("The hypervisor owns the kernel's code once boot is over, on KVM. Default false"),
  spuriousFaults: z
    .enum(['for-ever', 'once'])
    .optional()
    .describe(
      'How often the kernel retries an access whose fault it cannot explain. Default once, under rfc-v2 for-ever, as Linux does',
    ),
  cpu: z
    .union([profileName, processorSchema])
    .optional()
    .describe(`The processor. Default ${CPU_PROFILES[0]?.name}`),
}) satisfies z.ZodType<MachineSpecification>;

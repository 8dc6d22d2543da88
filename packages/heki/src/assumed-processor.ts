import { basename } from 'node:path';
import { frameOf, type Gfn, gpa } from '@heki/physical-memory';
import {
  CPU_PROFILES,
  type CpuProfile,
  type DerivedProcessor,
  deriveProcessor,
  EFER,
  type PagingRegisters,
  surveyTables,
} from '@heki/x86';
import { CPU_NAMES } from './cpu-names.ts';
import { InputError, UsageError } from './failure.ts';
import type { Sidecar } from './sidecar.ts';
import type { Snapshot } from './snapshot.ts';
import { registerWarnings, type Warning } from './warning.ts';

/** The processor that a snapshot's guest is taken to run on, and why. */
export interface AssumedProcessor extends DerivedProcessor {
  /** The user named it. */
  readonly named: boolean;
  /** The registers by which its first CPU translates, with all that is known of EFER. CR3 is as in the dump. */
  readonly registers: PagingRegisters;
  /** Where EFER comes from: the name of a file, or `undefined` when it was inferred, because a dump does not hold it. */
  readonly eferFrom: string | undefined;
  readonly warnings: readonly Warning[];
}

/** The profile that `--cpu` names. @throws {UsageError} for a name that there is none of */
export function cpuNamed(name: string): CpuProfile {
  const profile = CPU_PROFILES.find((one) => one.name === name);
  if (profile === undefined) throw new UsageError(`--cpu ${name}: expected one of ${CPU_NAMES.join(', ')}`);
  return profile;
}

/**
 * Settles on which processor the guest of `snapshot` runs: the one that `cpu` names, or the one that its registers and page
 * tables tell of. What stands beside the dump may know EFER, which is not in it.
 *
 * @throws {UsageError} for a name that there is none of
 * @throws {InputError} when `sidecar` has an EFER that is not of 64-bit mode
 */
export function assumeProcessor(
  { core, registers: dumped, levels }: Snapshot,
  sidecar: Sidecar | undefined,
  cpu: string | undefined,
): AssumedProcessor {
  const named = cpu === undefined ? undefined : cpuNamed(cpu);
  const registers = sidecar?.efer === undefined ? dumped : { ...dumped, efer: sidecar.efer };
  if ((registers.efer & EFER.LMA) === 0n) {
    throw new InputError(
      `${sidecar?.path}: efer: 0x${registers.efer.toString(16)} without LMA: expected the EFER of a guest in 64-bit mode`,
    );
  }
  const tables = surveyTables({
    memory: core.memory,
    root: frameOf(gpa(Number(BigInt.asUintN(52, registers.cr3)))),
    levels,
    memoryEnd: frameOf(gpa((core.segments.at(-1)?.end ?? 0) + 4095)) as Gfn,
  });
  const derived = deriveProcessor({ registers, tables }, named);
  return {
    ...derived,
    named: named !== undefined,
    registers,
    eferFrom: sidecar?.efer === undefined ? undefined : basename(sidecar.path),
    warnings: [...contradictions(derived, named), ...registerWarnings(registers)],
  };
}

/** What speaks against the profile that the user named. */
function contradictions({ lacking }: DerivedProcessor, named: CpuProfile | undefined): Warning[] {
  if (named === undefined || lacking.length === 0) return [];
  const message = `the snapshot is not of ${named.name}: it uses ${lacking.join(', ')}, which ${named.name} does not have`;
  return [{ id: 'cpu-contradicted', message }];
}

/** How the processor came to be assumed, as a line for people. */
export function processorText({ profile, named, vendorBits, lacking }: AssumedProcessor): string {
  if (named) return `${profile.name}, as --cpu says`;
  const whole = [profile.name, ...lacking].join(', ').replace(', ', ' and ');
  const reason = profile.vendor === 'amd' ? ` by ${vendorBits.join(', ')}` : '';
  return `${whole} (assumed${reason}; --cpu NAME names another)`;
}

/** The processor as programs read it. */
export function processorJson({
  profile,
  named,
  vendorBits,
  lacking,
  registers,
  eferFrom,
}: AssumedProcessor): object {
  const { name, vendor, maxPhysicalAddressBits, gigabytePages } = profile;
  return {
    name,
    named,
    vendor,
    vendorBits,
    lacking,
    maxPhysicalAddressBits,
    gigabytePages,
    efer: `0x${registers.efer.toString(16)}`,
    eferFrom: eferFrom ?? null,
  };
}

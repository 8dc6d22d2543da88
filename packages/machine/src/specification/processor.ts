import { nearMatches } from '@heki/series';
import { CPU_PROFILES, type CpuProfile, CR4, type EptFeatures, type NptFeatures } from '@heki/x86';
import { MachineError } from '../error.ts';

/** A CPU profile with changes, as data: `{ "base": "amd-zen4", "npt": { "gmet": false } }`. */
export interface ProcessorChanges {
  /** The name of the CPU profile that is changed. */
  readonly base: string;
  /** Features of CR4 that it does not have, by the names of their bits: `SMEP`, `LA57`. */
  readonly without?: readonly string[] | undefined;
  /** MAXPHYADDR, 36 to 52. */
  readonly maxPhysicalAddressBits?: number | undefined;
  readonly gigabytePages?: boolean | undefined;
  /** Features of EPT; only for a profile of Intel's. */
  readonly ept?: { readonly [feature in keyof EptFeatures]?: boolean | undefined } | undefined;
  /** Features of nested paging; only for a profile of AMD's. */
  readonly npt?: { readonly [feature in keyof NptFeatures]?: boolean | undefined } | undefined;
}

/** Features of CR4 that a processor may lack and still run a 64-bit kernel. */
export const OPTIONAL_FEATURES: readonly string[] = Object.keys(CR4).filter(
  (name) => !['PAE', 'PGE', 'PSE', 'OSFXSR', 'OSXMMEXCPT'].includes(name),
);

/**
 * The processor that a specification names.
 *
 * @throws {MachineError} for an unknown profile or feature, and for features of the other vendor's second level
 */
export function processorOf(cpu: string | ProcessorChanges): CpuProfile {
  if (typeof cpu === 'string') return profileNamed(cpu);
  const base = profileNamed(cpu.base);
  const { ept, npt } = cpu;
  return {
    ...base,
    name: changedName(cpu),
    cr4: (cpu.without ?? []).reduce((bits, name) => bits & ~featureNamed(name), base.cr4),
    maxPhysicalAddressBits: cpu.maxPhysicalAddressBits ?? base.maxPhysicalAddressBits,
    gigabytePages: cpu.gigabytePages ?? base.gigabytePages,
    ept: ept === undefined ? base.ept : changed(base.name, 'EPT', base.ept, ept),
    npt: npt === undefined ? base.npt : changed(base.name, 'nested paging', base.npt, npt),
  };
}

/** The processor's name as people read it: that of its profile, and what is changed. */
export function processorName(cpu: string | ProcessorChanges): string {
  return typeof cpu === 'string' ? cpu : changedName(cpu);
}

function profileNamed(name: string): CpuProfile {
  const processor = CPU_PROFILES.find((one) => one.name === name);
  if (processor !== undefined) return processor;
  const names = CPU_PROFILES.map((one) => one.name);
  throw new MachineError(`cpu ${name}: expected one of ${names.join(', ')}`, ['cpu']);
}

function featureNamed(name: string): bigint {
  const bit = Object.entries(CR4).find(([known]) => known === name && OPTIONAL_FEATURES.includes(known))?.[1];
  if (bit !== undefined) return bit;
  const near = nearMatches(name, OPTIONAL_FEATURES);
  throw new MachineError(
    `cpu without ${name}: expected one of ${(near.length > 0 ? near : OPTIONAL_FEATURES).join(', ')}`,
    ['cpu'],
  );
}

function changed<Features extends object>(
  name: string,
  what: string,
  base: Features | undefined,
  changes: { readonly [feature in keyof Features]?: boolean | undefined },
): Features {
  if (base === undefined) throw new MachineError(`cpu ${name}: it has no ${what} to change`, ['cpu']);
  for (const feature of Object.keys(changes)) {
    if (!Object.hasOwn(base, feature)) {
      throw new MachineError(
        `cpu ${name}: ${what} has no ${feature}: expected ${Object.keys(base).join(', ')}`,
        ['cpu'],
      );
    }
  }
  const given = Object.entries(changes).filter(([, value]) => value !== undefined);
  return { ...base, ...Object.fromEntries(given) };
}

function changedName({ base, without = [], ept, npt, ...rest }: ProcessorChanges): string {
  const words = [
    ...without.map((name) => `no ${name}`),
    ...Object.entries({ ...rest, ...ept, ...npt })
      .filter(([, value]) => value !== undefined)
      .map(([key, value]) => `${key} ${value}`),
  ];
  return words.length === 0 ? base : `${base} (${words.join(', ')})`;
}

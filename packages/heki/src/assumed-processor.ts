import { hex } from '@heki/physical-memory';
import { type ChosenRoot, memoryEndOf, type ProvenRoot, pagesIn64BitMode, type Vmcore } from '@heki/vmcore';
import {
  CPU_PROFILES,
  type CpuProfile,
  CR0,
  CR4,
  type DerivedProcessor,
  deriveProcessor,
  EFER,
  findEncryptionBit,
  hasEncryptedEntry,
  type PagingRegisters,
  surveyTables,
} from '@heki/x86';
import { CPU_NAMES } from './cpu-names.ts';
import { InputError, UsageError } from './failure.ts';
import type { Sidecar } from './sidecar.ts';
import type { Snapshot } from './snapshot.ts';
import { registerWarnings, type Warning } from './warning.ts';

/** CPUs that a warning names; more are counted. */
const MOST_CPUS = 8;

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

/** The profile that `--cpu` names. @throws {UsageError} for an unknown name */
export function cpuNamed(name: string): CpuProfile {
  const processor = CPU_PROFILES.find((one) => one.name === name);
  if (processor === undefined) throw new UsageError(`--cpu ${name}: expected one of ${CPU_NAMES.join(', ')}`);
  return processor;
}

/**
 * Decides on which processor the guest of `snapshot` runs: the one that `cpu` names, or the one that its registers and page
 * tables tell of. What stands beside the dump may know EFER, which is not in it.
 *
 * @throws {UsageError} for an unknown name
 * @throws {InputError} when `sidecar` has an EFER that is not of 64-bit mode, or not of this guest
 */
export function assumeProcessor(
  { core, registers: dumped, tables }: Snapshot<ProvenRoot | ChosenRoot>,
  sidecar: Sidecar | undefined,
  cpu: string | undefined,
): AssumedProcessor {
  const named = cpu === undefined ? undefined : cpuNamed(cpu);
  const registers = {
    ...dumped,
    efer: sidecar?.efer ?? dumped.efer,
    cr4: core.cpus.length === 0 ? (sidecar?.cr4 ?? dumped.cr4) : dumped.cr4,
  };
  const wrong =
    (registers.efer & EFER.LMA) === 0n
      ? 'without LMA: expected the EFER of a guest in 64-bit mode'
      : (dumped.efer & ~registers.efer & EFER.NXE) !== 0n
        ? 'without NXE, but page-table entries have XD set: is it of this guest?'
        : undefined;
  if (wrong !== undefined) {
    throw new InputError(`efer: ${hex(registers.efer)} ${wrong}`, { file: sidecar?.path ?? 'the dump' });
  }
  const evidence = {
    // All CPUs are alike: what one has set, each can set.
    registers: { cr4: core.cpus.reduce((bits, { cr4 }) => bits | cr4, registers.cr4), efer: registers.efer },
    tables: surveyTables(tables),
    encryptionBit: tables.encryptionBit,
  };
  const derived = deriveProcessor(evidence, named);
  return {
    ...derived,
    named: named !== undefined,
    registers,
    eferFrom: sidecar?.efer === undefined ? undefined : sidecar.name,
    warnings: [
      ...assumedRegisters(core, registers, sidecar),
      ...contradictions(derived, named),
      ...encryptionWarnings(core, tables, derived.cpu),
      ...registerWarnings(registers, derived.cpu),
      ...otherCpus(core, registers),
    ],
  };
}

/** Registers that are not in the dump. */
function assumedRegisters(
  { cpus }: Vmcore,
  { cr0, cr4 }: PagingRegisters,
  sidecar: Sidecar | undefined,
): Warning[] {
  if (cpus.length > 0) return [];
  const linux = `CR0 is taken to be Linux's own, ${hex(cr0)}`;
  const message =
    sidecar?.cr4 === undefined
      ? `the dump has no control registers: ${linux}, and CR4 ${hex(cr4)}, in which SMEP, SMAP, UMIP and all that no page table shows are off; cr4 in a JSON file beside the dump tells it`
      : `the dump has no control registers: ${linux}; CR4 is from ${sidecar.name}`;
  return [{ id: 'assumed-registers', message }];
}

/** The bits of CR0 and CR4 that forbid the kernel something: all CPUs of a kernel have the same. */
const FORBIDDING = {
  cr0: { 'CR0.WP': CR0.WP },
  cr4: {
    'CR4.UMIP': CR4.UMIP,
    'CR4.SMEP': CR4.SMEP,
    'CR4.SMAP': CR4.SMAP,
    'CR4.PKE': CR4.PKE,
    'CR4.CET': CR4.CET,
    'CR4.PKS': CR4.PKS,
    'CR4.LASS': CR4.LASS,
  },
} as const;

/** Which CPUs do not have what verdicts rest on as the one has it whose registers are used. */
function otherCpus({ cpus }: Vmcore, registers: PagingRegisters): Warning[] {
  const found: Warning[] = [];
  for (const register of ['cr0', 'cr4'] as const) {
    for (const [name, bit] of Object.entries(FORBIDDING[register])) {
      const isSet = (registers[register] & bit) !== 0n;
      const others = [...cpus.entries()]
        .filter(([, cpu]) => pagesIn64BitMode(cpu) && ((cpu[register] & bit) !== 0n) !== isSet)
        .map(([index]) => index);
      if (others.length === 0) continue;
      const more = others.length - MOST_CPUS;
      const which = `${others.slice(0, MOST_CPUS).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
      const state = isSet ? 'clear' : 'set';
      const message = `${name} is ${state} on ${others.length === 1 ? 'CPU' : 'the CPUs'} ${which}, unlike on the CPU by whose registers everything is tried (--cpu-index names another)`;
      found.push({ id: 'cpus-differ', message });
    }
  }
  return found;
}

/**
 * What every processor of a vendor has, and no profile: hypervisors hide it from guests that are to have none of their own. It speaks
 * against no profile.
 */
const HIDDEN_BY_HYPERVISORS = { intel: 'CR4.VMXE', amd: 'EFER.SVME' } as const;

/** What speaks against the profile that the user named. */
function contradictions({ lacking }: DerivedProcessor, named: CpuProfile | undefined): Warning[] {
  if (named === undefined) return [];
  const foreign = lacking.filter((one) => one !== HIDDEN_BY_HYPERVISORS[named.vendor]);
  if (foreign.length === 0) return [];
  const message = `the snapshot is not of ${named.name}: it uses ${foreign.join(', ')}, which ${named.name} does not have`;
  return [{ id: 'cpu-contradicted', message }];
}

/** How the C-bit came to be known, in words that follow it. */
const ENCRYPTION_SOURCES = {
  given: 'as --c-bit says',
  vmcoreinfo: 'by VMCOREINFO',
  'page-tables': 'as most entries of the page tables have it',
} as const;

/** What is not modelled of encrypted memory, or what looks like it. */
function encryptionWarnings(core: Vmcore, tables: ProvenRoot | ChosenRoot, processor: CpuProfile): Warning[] {
  if (core.encryption !== undefined) {
    const { bit, from } = core.encryption;
    const message = `bit ${bit} of entries is the C-bit of memory encryption, ${ENCRYPTION_SOURCES[from]}: what encryption hides from the hypervisor is not modelled`;
    const unused = `--c-bit ${bit} says that memory is encrypted, but no entry of the page tables has that bit: is it another guest's?`;
    return [
      { id: 'memory-encryption', message },
      ...(from === 'given' && !hasEncryptedEntry(tables, bit)
        ? [{ id: 'c-bit-contradicted', message: unused }]
        : []),
    ];
  }
  const stray = findEncryptionBit({ ...tables, memoryEnd: memoryEndOf(core) });
  if (stray === undefined) return [];
  const message = `${stray.entries === 1 ? '1 entry has' : `${stray.entries} entries have`} bit ${stray.bit} beside an address in memory, ${stray.bit < processor.maxPhysicalAddressBits ? 'an address bit' : 'reserved'} on ${processor.name}: if it marks what is encrypted or shared, say --c-bit ${stray.bit}`;
  return [{ id: 'address-bit', message }];
}

/** How the processor came to be assumed, as a line for people. */
export function processorText({ cpu, named, vendorBits, lacking }: AssumedProcessor): string {
  if (named) return `${cpu.name}, as --cpu says`;
  const whole = [cpu.name, ...lacking].join(', ').replace(', ', ' and ');
  const reason = cpu.vendor === 'amd' ? ` by ${vendorBits.join(', ')}` : '';
  return `${whole} (assumed${reason}; --cpu NAME names another)`;
}

/** The processor as programs read it. */
export function processorJson({
  cpu,
  named,
  vendorBits,
  lacking,
  registers,
  eferFrom,
}: AssumedProcessor): object {
  const { name, vendor, maxPhysicalAddressBits, gigabytePages, encryptionBit } = cpu;
  return {
    name,
    named,
    vendor,
    vendorBits,
    lacking,
    maxPhysicalAddressBits,
    gigabytePages,
    encryptionBit: encryptionBit ?? null,
    efer: hex(registers.efer),
    eferFrom: eferFrom ?? null,
  };
}

import { hex, type VirtualAddress, virtualFrameOf } from '@heki/physical-memory';
import type { Place } from '@heki/symbols';
import type { ChosenRoot, ProvenRoot } from '@heki/vmcore';
import {
  type Access,
  bitNames,
  CR0,
  CR0_BITS,
  CR4,
  CR4_BITS,
  describePageFaultCode,
  entryIndex,
  type Level,
  levelName,
  type PagingRegisters,
  pageSizeName,
  type Translation,
  translate as translateAddress,
  type WalkStep,
} from '@heki/x86';
import {
  type AssumedProcessor,
  assumeProcessor,
  processorJson,
  processorText,
} from '../assumed-processor.ts';
import { BUILT_IN_SNAPSHOT } from '../built-in-snapshot.ts';
import type { Colours } from '../colours.ts';
import { ExitCode } from '../failure.ts';
import { hex16, parseVirtualAddress } from '../hex.ts';
import type { CommandIo } from '../io.ts';
import { type NamesOptions, namesOfAddressSpace } from '../names/open-names.ts';
import { placeJson, placeText } from '../names/place-text.ts';
import { isHexadecimal, resolveAddress } from '../names/resolve-address.ts';
import { writeReport } from '../report/write-report.ts';
import { readSidecar } from '../sidecar.ts';
import { type AddressSpaceOptions, openAddressSpace, tablesJson, tablesLines } from '../snapshot.ts';
import { tableWarnings, userHalfWarnings, type Warning, warningLines } from '../warning.ts';

/** Options of `heki translate`. */
export interface TranslateOptions extends AddressSpaceOptions, NamesOptions {
  readonly access: 'read' | 'write' | 'fetch';
  readonly user?: boolean;
  readonly cpu?: string;
  readonly json?: boolean;
}

/** `heki translate [SNAPSHOT] ADDRESS`: each level's entry, the verdict and why. A fault is an answer, too: exit code 0. */
export async function translate(
  snapshotPath: string | undefined,
  address: string,
  options: TranslateOptions,
  io: CommandIo,
): Promise<number> {
  const path = snapshotPath ?? BUILT_IN_SNAPSHOT;
  const given = isHexadecimal(address) ? parseVirtualAddress(address) : undefined;
  const access: Access = { kind: options.access, mode: options.user ? 'user' : 'supervisor' };
  // The kernel's own addresses are the same on every CPU; what a user sees is a matter of the CPU's address space.
  const isKernels = given === undefined || given >= KERNEL_HALF;
  const snapshot = openAddressSpace(
    path,
    options,
    isKernels && access.mode === 'supervisor' ? 'kernel' : 'user',
  );
  const { core, tables } = snapshot;
  const sidecar = await readSidecar(path);
  const needed = given === undefined || options.symbols !== undefined || options.vmlinux !== undefined;
  const names = isKernels
    ? await namesOfAddressSpace(path, snapshot, sidecar, { ...options, needed })
    : undefined;
  const va = given ?? resolveAddress(address, names);
  const processor = assumeProcessor(snapshot, sidecar, options.cpu);
  const paging = { ...processor.registers, cr3: BigInt(tables.root) << 12n };
  const translation = translateAddress(paging, core.memory, va, access, processor.cpu);
  const answer: Answer = {
    va,
    access,
    tables,
    registers: paging,
    translation,
    processor,
    place: names?.kernel.at(va),
    warnings: [
      ...tableWarnings(core, tables),
      ...(va < 1n << 63n ? userHalfWarnings(tables) : []),
      ...processor.warnings,
      ...(names?.warnings ?? []),
      ...keyWarnings(access, paging, translation),
    ],
  };
  await writeReport(
    'translate',
    { json: () => toJson(answer), text: ({ colours }) => describe(answer, colours) },
    options,
    io,
  );
  return ExitCode.SUCCESS;
}

/** All that is told of a translation. */
interface Answer {
  readonly va: VirtualAddress;
  readonly access: Access;
  readonly tables: ProvenRoot | ChosenRoot;
  readonly registers: PagingRegisters;
  readonly translation: Translation;
  readonly processor: AssumedProcessor;
  readonly place: Place | undefined;
  readonly warnings: readonly Warning[];
}

/** A page with a key other than 0 may be closed by PKRU or IA32_PKRS, which a dump does not hold. */
function keyWarnings(access: Access, { cr4 }: PagingRegisters, { steps }: Translation): Warning[] {
  const leaf = steps.at(-1)?.entry;
  if (leaf === undefined || !leaf.leaf || leaf.key === 0 || access.kind === 'fetch') return [];
  const user = steps.every(({ entry }) => entry.flags.includes('US'));
  if ((cr4 & (user ? CR4.PKE : CR4.PKS)) === 0n) return [];
  const register = user ? 'PKRU' : 'IA32_PKRS';
  const message = `${register} is not in a dump and is taken as 0: protection key ${leaf.key} forbids nothing here`;
  return [{ id: 'protection-keys', message }];
}

const KERNEL_HALF = 1n << 63n;

/** The bits that translation looks at. */
const PAGING_CR0 = CR0.PG | CR0.WP;
const PAGING_CR4 = CR4.PAE | CR4.LA57 | CR4.SMEP | CR4.SMAP | CR4.PKE | CR4.PKS | CR4.LASS;

/** Names of the table index of each level in a linear address. */
const INDEX_BITS: Readonly<Record<Level, string>> = {
  5: '56:48',
  4: '47:39',
  3: '38:30',
  2: '29:21',
  1: '20:12',
};

function describe(
  { va, access, tables, registers, translation, processor, place, warnings }: Answer,
  colours: Colours,
): string[] {
  const { outcome, steps } = translation;
  const cr0 = bitNames(CR0_BITS, registers.cr0 & PAGING_CR0).join(' ');
  const cr4 = bitNames(CR4_BITS, registers.cr4 & PAGING_CR4).join(' ');
  const lines = [
    `${colours.bold(hex16(va))}  ${access.kind} at CPL ${access.mode === 'user' ? 3 : 0}`,
    ...(place === undefined ? [] : [`  ${placeText(place)}`]),
    ...tablesLines(tables).map((line) => `  ${line}`),
    `  CR3 ${hex(registers.cr3)}, CR0 ${hex(registers.cr0)} with ${cr0}, CR4 ${hex(registers.cr4)} with ${cr4}`,
    `  processor ${processorText(processor)}`,
    '',
    ...steps.map((step) => `  ${stepText(step, va, colours)}`),
    ...(steps.length > 0 ? [''] : []),
    `  ${verdict(outcome, colours)}`,
  ];
  if (outcome.kind === 'mapped') {
    const { user, writable, executeDisable, key } = outcome.rights;
    lines.push(
      `  all levels together: ${writable ? 'writable' : 'read-only'}, ${executeDisable ? 'not executable' : 'executable'}, ${user ? 'user' : 'kernel'} page${key === 0 ? '' : `, key ${key}`}`,
    );
  } else if (outcome.kind === 'page-fault') {
    lines.push(...outcome.causes.map(({ text }) => `  because ${text}`));
  }
  lines.push(...warningLines(warnings, colours).map((line) => `  ${line}`));
  return lines;
}

function stepText(
  { level, address, low, high, entry }: WalkStep,
  va: VirtualAddress,
  colours: Colours,
): string {
  const index = entryIndex(virtualFrameOf(va), level);
  const value = hex16((BigInt(high) << 32n) | BigInt(low));
  const head = `${levelName(level).padEnd(5)} [${String(index).padStart(3)}] ${colours.dim(`bits ${INDEX_BITS[level]} at ${hex(address)}`)}  ${value}`;
  if (!entry.present) return `${head}  ${colours.red('not present')}`;
  const target = entry.leaf
    ? `${pageSizeName(level === 3 ? 3 : level === 2 ? 2 : 1)} page at ${hex(entry.frame * 4096)}`
    : `table at ${hex(entry.frame * 4096)}`;
  return `${head}  ${entry.flags.join(' ')} ${colours.dim('→')} ${target}`;
}

/** Why there is no walk. */
const GENERAL_PROTECTION_TEXTS = {
  'non-canonical': 'the address is not canonical',
  lass: 'LASS keeps user mode out of the upper half of the addresses, and the kernel out of the lower; no table was read',
} as const;

function verdict(outcome: Translation['outcome'], colours: Colours): string {
  switch (outcome.kind) {
    case 'mapped':
      return `${colours.green('allowed')}: guest-physical ${hex(outcome.gpa)}, in a ${pageSizeName(outcome.level)} page`;
    case 'page-fault':
      return `${colours.red('#PF')} ${describePageFaultCode(outcome.errorCode)}, CR2 ${hex(outcome.address)}`;
    case 'general-protection':
      return `${colours.red('#GP(0)')}: ${GENERAL_PROTECTION_TEXTS[outcome.reason]}`;
    case 'absent-table':
      return `${colours.yellow('unknown')}: the ${levelName(outcome.level)} at ${hex(outcome.address)} is not in the snapshot`;
    case 'second-level':
      return `${colours.red('refused')} by the second level`;
  }
}

function toJson({ va, access, tables, translation, processor, place, warnings }: Answer): object {
  const { outcome, steps } = translation;
  return {
    va: hex(va),
    access: access.kind,
    user: access.mode === 'user',
    place: place === undefined ? null : placeJson(place),
    tables: tablesJson(tables),
    steps: steps.map(({ level, address, low, high, entry }) => ({
      level,
      name: levelName(level),
      address: hex(address),
      entry: hex((BigInt(high) << 32n) | BigInt(low)),
      present: entry.present,
      leaf: entry.leaf,
      frame: hex(entry.frame * 4096),
      flags: entry.flags,
      key: entry.key,
    })),
    outcome: outcomeJson(outcome),
    processor: processorJson(processor),
    warnings,
  };
}

function outcomeJson(outcome: Translation['outcome']): unknown {
  switch (outcome.kind) {
    case 'mapped':
      return {
        kind: outcome.kind,
        gpa: hex(outcome.gpa),
        size: pageSizeName(outcome.level),
        rights: outcome.rights,
      };
    case 'page-fault':
      return {
        kind: outcome.kind,
        errorCode: hex(outcome.errorCode),
        address: hex(outcome.address),
        denials: outcome.causes,
      };
    case 'general-protection':
      return { kind: outcome.kind, reason: outcome.reason };
    case 'absent-table':
      return { kind: outcome.kind, level: outcome.level, address: hex(outcome.address) };
    case 'second-level':
      return { kind: outcome.kind, at: outcome.at, gpa: hex(outcome.gpa) };
  }
}

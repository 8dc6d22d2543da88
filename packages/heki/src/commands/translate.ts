import { hex, type VirtualAddress, virtualFrameOf } from '@heki/physical-memory';
import {
  type Access,
  CR0,
  CR0_BITS,
  CR4,
  CR4_BITS,
  describeBits,
  describePageFaultCode,
  entryIndex,
  type Level,
  levelName,
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
import { type Colours, coloursFor } from '../colours.ts';
import { ExitCode } from '../failure.ts';
import { hex16, parseVirtualAddress } from '../hex.ts';
import type { CommandIo } from '../io.ts';
import { readSidecar } from '../sidecar.ts';
import { openSnapshot } from '../snapshot.ts';
import { warningLines } from '../warning.ts';

/** Options of `heki translate`. */
export interface TranslateOptions {
  readonly access: 'read' | 'write' | 'fetch';
  readonly user?: boolean;
  readonly cpu?: string;
  readonly json?: boolean;
}

/** `heki translate SNAPSHOT VA`: each level's entry, the verdict and why. A fault is an answer, too: exit code 0. */
export async function translate(
  path: string,
  address: string,
  options: TranslateOptions,
  io: CommandIo,
): Promise<number> {
  const va = parseVirtualAddress(address);
  const access: Access = { kind: options.access, mode: options.user ? 'user' : 'supervisor' };
  const snapshot = openSnapshot(path);
  const { core, kernelRoot } = snapshot;
  const processor = assumeProcessor(snapshot, await readSidecar(path), options.cpu);
  const paging = { ...processor.registers, cr3: BigInt(kernelRoot) << 12n };
  const translation = translateAddress(paging, core.memory, va, access, processor.profile);
  const text =
    options.json === true
      ? `${JSON.stringify(toJson(va, access, translation, processor), undefined, 2)}\n`
      : describe(va, access, paging, translation, processor, coloursFor(io.stdout, io.env));
  await io.stdout.write(text);
  return ExitCode.SUCCESS;
}

/** Names of the table index of each level in a linear address. */
const INDEX_BITS: Readonly<Record<Level, string>> = {
  5: '56:48',
  4: '47:39',
  3: '38:30',
  2: '29:21',
  1: '20:12',
};

function describe(
  va: VirtualAddress,
  access: Access,
  registers: { readonly cr0: bigint; readonly cr3: bigint; readonly cr4: bigint; readonly efer: bigint },
  translation: Translation,
  processor: AssumedProcessor,
  colours: Colours,
): string {
  const { outcome, steps } = translation;
  const cr4 = registers.cr4 & (CR4.PAE | CR4.LA57 | CR4.SMEP | CR4.SMAP | CR4.PKE | CR4.PKS | CR4.LASS);
  const lines = [
    `${colours.bold(hex16(va))}  ${access.kind} at CPL ${access.mode === 'user' ? 3 : 0}`,
    `  CR3 ${hex(registers.cr3)}, CR0 ${describeBits(CR0_BITS, registers.cr0 & (CR0.PG | CR0.WP))}, CR4 ${describeBits(CR4_BITS, cr4)}`,
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
    lines.push(...outcome.denials.map(({ text }) => `  because ${text}`));
  }
  lines.push(...warningLines(processor.warnings, colours).map((line) => `  ${line}`));
  return `${lines.join('\n')}\n`;
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

function toJson(
  va: VirtualAddress,
  access: Access,
  { outcome, steps }: Translation,
  processor: AssumedProcessor,
): unknown {
  return {
    va: hex(va),
    access: access.kind,
    user: access.mode === 'user',
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
    warnings: processor.warnings,
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
        denials: outcome.denials,
      };
    case 'general-protection':
      return { kind: outcome.kind, reason: outcome.reason };
    case 'absent-table':
      return { kind: outcome.kind, level: outcome.level, address: hex(outcome.address) };
    case 'second-level':
      return { kind: outcome.kind, at: outcome.at, gpa: hex(outcome.gpa) };
  }
}

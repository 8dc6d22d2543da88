import { hex, type VirtualAddress, virtualFrameOf } from '@heki/physical-memory';
import {
  type AccessRights,
  bitNames,
  CR0,
  CR0_BITS,
  CR4,
  CR4_BITS,
  type DecodedEntry,
  describePageFaultCode,
  entryIndex,
  type Level,
  levelName,
  pageSizeName,
  type Translation,
  type WalkStep,
} from '@heki/x86';
import { processorText } from '../assumed-processor.ts';
import type { Colours } from '../colours.ts';
import { hex16 } from '../hex.ts';
import { placeText } from '../names/place-text.ts';
import { tablesLines } from '../snapshot.ts';
import { warningLines } from '../warning.ts';
import type { TranslationAnswer } from './translation-answer.ts';

/** The bits that translation looks at. */
export const PAGING_CR0 = CR0.PG | CR0.WP;
export const PAGING_CR4 = CR4.PAE | CR4.LA57 | CR4.SMEP | CR4.SMAP | CR4.PKE | CR4.PKS | CR4.LASS;

/** Names of the table index of each level in a linear address. */
export const INDEX_BITS: Readonly<Record<Level, string>> = {
  5: '56:48',
  4: '47:39',
  3: '38:30',
  2: '29:21',
  1: '20:12',
};

/** A translation as lines for people. */
export function translationText(
  { va, access, tables, registers, translation, processor, place, warnings }: TranslationAnswer,
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
    `  ${outcomeText(outcome, colours)}`,
  ];
  if (outcome.kind === 'mapped') {
    lines.push(`  all levels together: ${rightsText(outcome.rights)}`);
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
  return `${head}  ${entry.flags.join(' ')} ${colours.dim('→')} ${targetText(level, entry)}`;
}

/** Where a present entry leads: `2 MiB page at 0x1000000`. */
export function targetText(level: Level, { leaf, frame }: DecodedEntry): string {
  if (!leaf) return `table at ${hex(frame * 4096)}`;
  return `${pageSizeName(level === 3 ? 3 : level === 2 ? 2 : 1)} page at ${hex(frame * 4096)}`;
}

/** What all levels grant together: `read-only, executable, kernel page`. */
export function rightsText({ user, writable, executeDisable, key }: AccessRights): string {
  return `${writable ? 'writable' : 'read-only'}, ${executeDisable ? 'not executable' : 'executable'}, ${user ? 'user' : 'kernel'} page${key === 0 ? '' : `, key ${key}`}`;
}

/** Why there is no walk. */
const GENERAL_PROTECTION_TEXTS = {
  'non-canonical': 'the address is not canonical',
  lass: 'LASS keeps user mode out of the upper half of the addresses, and the kernel out of the lower; no table was read',
} as const;

/** How a translation ended, in a line. */
export function outcomeText(
  outcome: Translation['outcome'],
  colours: Pick<Colours, 'red' | 'green' | 'yellow'>,
): string {
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

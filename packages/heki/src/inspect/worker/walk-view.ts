import type { WalkAnswer, WalkQuery, WalkRegister, WalkStepView } from '@heki/inspector';
import {
  type FrameNumber,
  hex,
  PAGE_SIZE,
  type PhysicalMemory,
  type VirtualAddress,
  virtualFrameOf,
} from '@heki/physical-memory';
import {
  type BitTable,
  bitNames,
  CR0_BITS,
  CR4_BITS,
  EFER_BITS,
  entryIndex,
  levelName,
  type PagingRegisters,
  type TranslationOutcome,
  type WalkStep,
} from '@heki/x86';
import { processorText } from '../../assumed-processor.ts';
import { hex16 } from '../../hex.ts';
import { placeText } from '../../names/place-text.ts';
import { shellWord } from '../../shell-word.ts';
import { tablesLines } from '../../snapshot.ts';
import type { TranslationAnswer } from '../../translate/translation-answer.ts';
import {
  INDEX_BITS,
  outcomeText,
  PAGING_CR0,
  PAGING_CR4,
  rightsText,
  targetText,
} from '../../translate/translation-text.ts';
import { entryBitsOf, entryKindsOf } from './entry-bits.ts';

/** No colour: the page has its own. */
export const PLAIN = { red: String, green: String, yellow: String };

/** A translation as the page draws it. */
export function walkView<Frame extends FrameNumber>(
  answer: TranslationAnswer,
  memory: PhysicalMemory<Frame>,
  edits: WalkQuery['edits'],
  source: string,
): WalkAnswer {
  const { va, access, translation, place, processor, tables, registers, warnings } = answer;
  const { outcome, steps } = translation;
  const kind = { mapped: 'allowed', 'absent-table': 'unknown' } as const;
  const user = access.mode === 'user' ? ' --user' : '';
  return {
    va: hex16(va),
    place: place === undefined ? null : placeText(place),
    registers: registersOfWalk(registers),
    processor: processorText(processor),
    tables: tablesLines(tables).join(' '),
    steps: steps.map((step) => ({ ...stepView(step, va, memory, edits), secondLevel: null })),
    outcome: {
      kind: outcome.kind === 'mapped' || outcome.kind === 'absent-table' ? kind[outcome.kind] : 'refused',
      text: outcomeText(outcome, PLAIN),
      details: detailsOf(outcome),
      frame: outcome.kind === 'mapped' ? Math.floor(outcome.gpa / PAGE_SIZE) : null,
      secondLevel: null,
    },
    warnings: warnings.map(({ message }) => message),
    command: `heki translate ${shellWord(source)} ${hex(va)}${access.kind === 'read' ? '' : ` --access ${access.kind}`}${user}`,
  };
}

/** What all levels grant together, or each reason of a refusal. */
export function detailsOf(outcome: TranslationOutcome): string[] {
  if (outcome.kind === 'mapped') return [`all levels together: ${rightsText(outcome.rights)}`];
  return outcome.kind === 'page-fault' ? outcome.causes.map(({ text }) => `because ${text}`) : [];
}

/** The registers that a walk goes by, with the bits that it looks at. */
export function registersOfWalk({ cr0, cr3, cr4, efer }: PagingRegisters): WalkRegister[] {
  return [
    { name: 'CR3', value: hex(cr3), bits: [] },
    register('CR0', cr0, PAGING_CR0, CR0_BITS),
    register('CR4', cr4, PAGING_CR4, CR4_BITS),
    { name: 'EFER', value: hex(efer), bits: bitNames(EFER_BITS, efer) },
  ];
}

function register(name: string, value: bigint, looked: bigint, table: BitTable): WalkRegister {
  return { name, value: hex(value), bits: bitNames(table, value & looked) };
}

/** An entry that a walk read, in its table. */
export function stepView<Frame extends FrameNumber>(
  { level, root, address, low, high, entry }: WalkStep,
  va: VirtualAddress,
  memory: PhysicalMemory<Frame>,
  edits: WalkQuery['edits'],
): Omit<WalkStepView, 'secondLevel'> {
  const value = (BigInt(high) << 32n) | BigInt(low);
  const table = Math.floor(address / PAGE_SIZE);
  const words = memory.page(table as Frame);
  return {
    name: levelName(level),
    isHlat: root === 'hlat',
    index: entryIndex(virtualFrameOf(va), level),
    indexBits: INDEX_BITS[level],
    address: hex(address),
    table: hex(table * PAGE_SIZE),
    value: hex16(value),
    isEdited: Object.hasOwn(edits, hex(address)),
    isPresent: entry.present,
    target: entry.present ? targetText(level, entry) : 'not present',
    bits: entryBitsOf(level, value),
    neighbours: words === undefined ? new Uint8Array(512) : entryKindsOf(words, level),
  };
}

import { hex } from '@heki/physical-memory';
import { levelName, pageSizeName, type Translation } from '@heki/x86';
import { processorJson } from '../assumed-processor.ts';
import { placeJson } from '../names/place-text.ts';
import { tablesJson } from '../snapshot.ts';
import type { TranslationAnswer } from './translation-answer.ts';

/** A translation as programs read it. */
export function translationJson({
  va,
  access,
  tables,
  translation,
  processor,
  place,
  warnings,
}: TranslationAnswer): object {
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

import { type PagingRegisters, unmodelledSemantics } from '@heki/x86';
import type { Colours } from './colours.ts';

/** What a reader must know to take a result rightly: assumed, left out, or not modelled. In JSON an element of `warnings`. */
export interface Warning {
  /** Names the kind, for programs, and stays the same: `lam`. */
  readonly id: string;
  /** One sentence for people, without a full stop. */
  readonly message: string;
}

/** The warnings as lines for people. */
export function warningLines(warnings: readonly Warning[], { yellow }: Colours): string[] {
  return warnings.map(({ message }) => yellow(`warning: ${message}`));
}

/** What the registers of a snapshot switch on and the model does not do. */
export function registerWarnings(registers: PagingRegisters): Warning[] {
  return unmodelledSemantics(registers).map(({ id, text }) => ({ id, message: text }));
}

import { hex } from '@heki/physical-memory';
import { type ChosenRoot, doubtsAbout, type ProvenRoot, userHalfOf, type Vmcore } from '@heki/vmcore';
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

/** What does not go together with the page tables that were taken. */
export function tableWarnings(core: Vmcore, tables: ProvenRoot | ChosenRoot): Warning[] {
  if ('origin' in tables) return doubtsAbout(core, tables);
  const user = userHalfOf(tables);
  if (user === undefined) return [];
  const message = `${tables.name} is the kernel's half of page-table isolation, in which no user page can be executed: user mode runs on the other, --cr3 ${hex(user * 4096)}`;
  return [{ id: 'kernel-half', message }];
}

import {
  type FrameRange,
  type Gfn,
  hex,
  PAGE_SIZE,
  PAGE_WORDS,
  type VirtualAddress,
} from '@heki/physical-memory';
import { type ChosenRoot, doubtsAbout, type ProvenRoot, userHalfOf, type Vmcore } from '@heki/vmcore';
import { type CpuProfile, type PagingRegisters, unmodelledSemantics, writeCr0, writeCr4 } from '@heki/x86';
import type { Colours } from './colours.ts';
import { type AddressNames, withPlace } from './names/place-text.ts';
import { count } from './quantity.ts';

/** What a reader must know to take a result rightly: assumed, left out, or not modelled. In JSON an element of `warnings`. */
export interface Warning {
  /** Names the kind, for programs, and stays the same: `lam`. */
  readonly id: string;
  /** One sentence for people, without a full stop. */
  readonly message: string;
  /** What follows from it, in the same form. */
  readonly explanation?: string;
  /** The guest-physical pages that it is about, ascending. */
  readonly ranges?: readonly WarnedRange[];
}

/** Pages that a warning is about, with what is known of them. */
export interface WarnedRange extends FrameRange<Gfn> {
  /** What the kernel's mappings allow together: `rwx`. */
  readonly mapped?: string;
  /** What the second level grants the kernel. */
  readonly granted?: string;
  /** A mapping that can be written. */
  readonly writableAt?: VirtualAddress | undefined;
  /** A mapping that can be executed. */
  readonly executableAt?: VirtualAddress | undefined;
}

/** More ranges than this are counted in text, not listed. */
const LISTED_RANGES = 4;

/** The warnings that are about no pages as lines for people. */
export function warningLines(warnings: readonly Warning[], { yellow }: Colours): string[] {
  return warnings
    .filter(({ ranges }) => ranges === undefined)
    .map(({ message }) => yellow(`warning: ${message}`));
}

/** The warnings as the elements of `warnings`, `assumed` or `notCovered` in JSON; a range excludes its end. */
export function warningsJson(warnings: readonly Warning[]) {
  return warnings.map(({ ranges, ...warning }) => ({
    ...warning,
    ...(ranges === undefined
      ? {}
      : {
          ranges: ranges.map(({ start, end, writableAt, executableAt, ...rights }) => ({
            pa: hex(start * PAGE_SIZE),
            epa: hex(end * PAGE_SIZE),
            ...rights,
            writableAt: writableAt === undefined ? undefined : hex(writableAt),
            executableAt: executableAt === undefined ? undefined : hex(executableAt),
          })),
        }),
  }));
}

/** Warnings about pages that an attacker can use. */
const GRAVE: ReadonlySet<string> = new Set(['writable-and-executable', 'rights-beyond-mappings']);
/** What a processor cannot do is said elsewhere, in one line. */
const SAID_ELSEWHERE = 'rights-not-withheld';

/**
 * The warnings that are about pages, each with the first of its ranges, as lines for people.
 *
 * @param names what is at the addresses in them, where that is known
 */
export function rangedWarningLines(
  warnings: readonly Warning[],
  { red, yellow, bold }: Colours,
  names?: AddressNames,
): string[] {
  return warnings.flatMap(({ id, message, explanation, ranges }) => {
    if (ranges === undefined || id === SAID_ELSEWHERE) return [];
    const colour = GRAVE.has(id) ? red : yellow;
    return [
      '',
      colour(bold(`WARNING: ${message}.`)),
      ...(explanation === undefined ? [] : [colour(`${firstUpper(explanation)}:`)]),
      ...ranges.slice(0, LISTED_RANGES).map((range) => `  ${rangeText(range, names)}`),
      ...(ranges.length > LISTED_RANGES
        ? [`  and ${count(ranges.length - LISTED_RANGES, 'more range')} (--json lists all)`]
        : []),
    ];
  });
}

function rangeText(
  { start, end, mapped, granted, writableAt, executableAt }: WarnedRange,
  names: AddressNames | undefined,
): string {
  const parts = [`guest-physical ${hex(start * PAGE_SIZE)}-${hex(end * PAGE_SIZE - 1)}`];
  if (writableAt !== undefined) parts.push(`writable at ${withPlace(writableAt, names)}`);
  if (executableAt !== undefined) parts.push(`executable at ${withPlace(executableAt, names)}`);
  if (writableAt === undefined && executableAt === undefined && mapped !== undefined) {
    parts.push(`mapped ${mapped}`, `granted ${granted}`);
  }
  return parts.join(', ');
}

const firstUpper = (text: string): string => `${text.charAt(0).toUpperCase()}${text.slice(1)}`;

/** What the registers of a snapshot switch on and the model does not do, and what no processor would have let in. */
export function registerWarnings(registers: PagingRegisters, processor: CpuProfile): Warning[] {
  const { cr0, cr4 } = registers;
  const impossible = [
    { name: 'CR0', value: cr0, write: writeCr0(registers, cr0) },
    { name: 'CR4', value: cr4, write: writeCr4(registers, cr4, processor) },
  ].flatMap(({ name, value, write }): Warning[] => {
    if (write.kind === 'ok') return [];
    const message = `${name} is ${hex(value)}, which no processor takes: ${write.reason}: the registers are damaged, or another CPU's`;
    return [{ id: 'impossible-registers', message }];
  });
  return [...impossible, ...unmodelledSemantics(registers).map(({ id, text }) => ({ id, message: text }))];
}

/** What does not go together with the page tables that were taken. */
export function tableWarnings(core: Vmcore, tables: ProvenRoot | ChosenRoot): Warning[] {
  if ('origin' in tables) return [...core.warnings, ...doubtsAbout(core, tables)];
  const user = userHalfOf(tables);
  if (user === undefined) return [...core.warnings];
  const message = `${tables.name} is the kernel's half of page-table isolation, in which no user page can be executed: user mode runs on the other, --cr3 ${hex(user * 4096)}`;
  return [...core.warnings, { id: 'kernel-half', message }];
}

/** The words of a root table that lead to the user's half. */
const USER_WORDS = PAGE_WORDS / 2;

/** What must be known of the user's half of these tables: with nothing in it, what was mapped there may have been left out. */
export function userHalfWarnings(tables: ProvenRoot | ChosenRoot): Warning[] {
  const root = tables.memory.page(tables.root);
  for (let word = 0; root !== undefined && word < USER_WORDS; word++) if (root[word] !== 0) return [];
  const name = 'origin' in tables ? tables.origin.name : tables.name;
  const message = `${name} has nothing in the user's half: a kernel thread ran, or the dump is an extract without it (heki extract --user keeps it)`;
  return [{ id: 'empty-user-half', message }];
}

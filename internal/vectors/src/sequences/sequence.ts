/** A step of a sequence: what changes tables or descriptors, or an instruction with its outcome. */
export type Step =
  /** Maps a page or, at level 2, 2 MiB: `map VA PAGE FLAGS` and `map-large VA FLAGS`. */
  | {
      readonly kind: 'map';
      readonly va: bigint;
      readonly page: number | 'large';
      readonly flags: EntryFlags;
    }
  /** Changes the entry of a level for an address: `entry VA LEVEL +FLAG-FLAG`. */
  | { readonly kind: 'entry'; readonly va: bigint; readonly level: number; readonly change: EntryChange }
  /** The same in the nested tables: `nested-entry GPA LEVEL +FLAG-FLAG`. */
  | {
      readonly kind: 'nested-entry';
      readonly gpa: bigint;
      readonly level: number;
      readonly change: EntryChange;
    }
  /** A descriptor of the GDT: `descriptor SELECTOR LOW HIGH`. */
  | { readonly kind: 'descriptor'; readonly selector: number; readonly low: bigint; readonly high: bigint }
  /** The host of a nested guest runs with other registers: `host nxe=0 smep=1`. */
  | { readonly kind: 'host'; readonly nxe: boolean; readonly smep: boolean }
  | Instruction;

/** An instruction, by its name and its arguments in order, and its outcome as the line has it. */
export interface Instruction {
  readonly kind: 'instruction';
  readonly name: InstructionName;
  readonly user: boolean;
  readonly args: readonly bigint[];
  readonly outcome: string;
}

/** Instructions by name, with how many arguments each has. */
const INSTRUCTIONS = {
  'load 1': 1,
  'load 8': 1,
  'store 1': 2,
  'store 8': 2,
  xchg: 2,
  fetch: 1,
  'mov cr0': 1,
  'mov cr3': 1,
  'mov cr4': 1,
  'read cr0': 0,
  'read cr3': 0,
  'read cr4': 0,
  wrmsr: 2,
  rdmsr: 1,
  lgdt: 2,
  lidt: 2,
  lldt: 1,
  ltr: 1,
  invlpg: 1,
  invpcid: 3,
  clac: 0,
  stac: 0,
  wrpkru: 1,
  smsw: 0,
  sgdt: 0,
  sidt: 0,
  sldt: 0,
  str: 0,
  clts: 0,
  lmsw: 1,
  cli: 0,
  /** The flags of an entry: not an instruction, but it has an outcome. */
  'read entry': 2,
  /** The low half of a descriptor. */
  'read descriptor': 1,
} as const;
export type InstructionName = keyof typeof INSTRUCTIONS;

/** Bits of an entry, set and clear. */
interface EntryChange {
  readonly set: bigint;
  readonly clear: bigint;
}
/** The bits of an entry without its address. */
type EntryFlags = bigint;

const ENTRY_FLAGS: Readonly<Record<string, bigint>> = {
  p: 1n,
  w: 2n,
  u: 4n,
  a: 0x20n,
  d: 0x40n,
  ps: 0x80n,
  g: 0x100n,
  nx: 1n << 63n,
};

/** The processor of a sequence. */
export interface SequenceProcessor {
  readonly vendor: 'intel' | 'amd';
  readonly levels: 4 | 5;
  readonly maxPhysicalAddressBits: number;
  /** CR4 bits that it does not have, by their names in lower case. */
  readonly without: readonly string[];
  /** The instructions execute in a guest under nested paging. */
  readonly nested: boolean;
}

/** Who has judged the outcome of a sequence: emulators that ran it, or the manual. */
export type Judge = 'qemu' | 'bochs' | 'manual';

export interface Sequence {
  readonly name: string;
  readonly line: number;
  readonly processor: SequenceProcessor;
  readonly judges: readonly Judge[];
  readonly steps: readonly Step[];
}

/** What control registers hold when a sequence begins. */
export const BASE = {
  cr0: 0x8001_0033n,
  cr4: (levels: 4 | 5): bigint => (levels === 5 ? 0x1620n : 0x620n),
  efer: 0xd01n,
  cr3: 0x80_0000n,
} as const;

const BITS: Readonly<Record<string, Readonly<Record<string, bigint>>>> = {
  cr0: { pe: 1n, ts: 1n << 3n, wp: 1n << 16n, am: 1n << 18n, nw: 1n << 29n, cd: 1n << 30n, pg: 1n << 31n },
  cr4: {
    pae: 1n << 5n,
    pge: 1n << 7n,
    umip: 1n << 11n,
    la57: 1n << 12n,
    vmxe: 1n << 13n,
    pcide: 1n << 17n,
    smep: 1n << 20n,
    smap: 1n << 21n,
    pke: 1n << 22n,
    cet: 1n << 23n,
    pks: 1n << 24n,
  },
  efer: { sce: 1n, lme: 1n << 8n, nxe: 1n << 11n, svme: 1n << 12n },
  cr3: {},
};

/**
 * The sequences of a file: comments, `processor` lines that hold for what follows, and a sequence a line, `NAME: STEP; STEP | JUDGE
 * JUDGE`.
 *
 * @throws {Error} naming the line and what of it cannot be read
 */
export function parseSequences(lines: readonly string[]): Sequence[] {
  const sequences: Sequence[] = [];
  let processor: SequenceProcessor | undefined;
  for (const [index, text] of lines.entries()) {
    const line = text.trim();
    if (line === '' || line.startsWith('#')) continue;
    try {
      if (line.startsWith('processor ')) processor = parseProcessor(line.slice(10));
      else if (processor === undefined) throw new Error('no processor before it');
      else sequences.push(parseSequence(line, index + 1, processor));
    } catch (error) {
      throw new Error(`line ${index + 1}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  return sequences;
}

function parseJudges(text: string): Judge[] {
  return text
    .trim()
    .split(/\s+/)
    .map((name) => {
      if (name === 'qemu' || name === 'bochs' || name === 'manual') return name;
      throw new Error(`judge ${name}: expected qemu, bochs or manual`);
    });
}

function parseProcessor(text: string): SequenceProcessor {
  const [vendor, ...settings] = text.split(/\s+/);
  const values = new Map(settings.map((part) => part.split('=', 2) as [string, string | undefined]));
  const levels = Number(values.get('levels') ?? '4');
  if (vendor !== 'intel' && vendor !== 'amd') throw new Error(`${vendor}: expected intel or amd`);
  if (levels !== 4 && levels !== 5) throw new Error(`levels=${levels}: expected 4 or 5`);
  return {
    vendor,
    levels,
    maxPhysicalAddressBits: Number(values.get('maxphy') ?? '40'),
    without: values.get('without')?.split(',') ?? [],
    nested: values.has('nested'),
  };
}

function parseSequence(line: string, number: number, processor: SequenceProcessor): Sequence {
  const [, name, text = '', judges] = /^([^:]+):([^|]*)(?:\|(.*))?$/.exec(line) ?? [];
  if (name === undefined || judges === undefined) throw new Error('expected NAME: STEP; STEP | JUDGE');
  const steps = text.split(';').map((step) => parseStep(step.trim(), processor.levels));
  return { name, line: number, processor, judges: parseJudges(judges), steps };
}

function parseStep(text: string, levels: 4 | 5): Step {
  const [what = '', outcome] = text.split(/\s+=\s+/, 2);
  const words = what.split(/\s+/);
  if (outcome !== undefined) return parseInstruction(words, outcome.trim(), levels);
  const [kind, first = '', second = '', third = ''] = words;
  switch (kind) {
    case 'map':
      return { kind, va: hex(first), page: Number(hex(second)), flags: entryFlags(third) };
    case 'map-large':
      return { kind: 'map', va: hex(first), page: 'large', flags: entryFlags(second) };
    case 'entry':
      return { kind, va: hex(first), level: Number(second), change: entryChange(third) };
    case 'nested-entry':
      return { kind, gpa: hex(first), level: Number(second), change: entryChange(third) };
    case 'descriptor':
      return { kind, selector: Number(hex(first)), low: hex(second), high: hex(third) };
    case 'host':
      return { kind, nxe: !words.includes('nxe=0'), smep: words.includes('smep=1') };
    default:
      throw new Error(`${text}: no such step, or an instruction without an outcome`);
  }
}

function parseInstruction(words: readonly string[], outcome: string, levels: 4 | 5): Instruction {
  const user = words[0] === 'user';
  const [first = '', ...rest] = user ? words.slice(1) : words;
  const two = `${first} ${rest[0] ?? ''}`;
  const name = (two in INSTRUCTIONS ? two : first) as InstructionName;
  if (!(name in INSTRUCTIONS)) throw new Error(`${words.join(' ')}: no such instruction`);
  const args = (name === two ? rest.slice(1) : rest).map((word) => numberOf(word, registerOf(name), levels));
  if (args.length !== INSTRUCTIONS[name]) {
    throw new Error(`${words.join(' ')}: ${args.length} arguments, expected ${INSTRUCTIONS[name]}`);
  }
  return { kind: 'instruction', name, user, args, outcome: normalOutcome(outcome, name, levels) };
}

/** The control register whose bits have names in the arguments and the outcome of an instruction. */
function registerOf(name: InstructionName): keyof typeof BASE {
  const match = /cr[034]$/.exec(name);
  return (match?.[0] as 'cr0' | 'cr3' | 'cr4' | undefined) ?? 'efer';
}

/** Values are written in one way: a hex number without leading zeros. */
function normalOutcome(text: string, name: InstructionName, levels: 4 | 5): string {
  if (text === 'done' || text.startsWith('#')) return text.replaceAll(/\s+/g, ' ');
  if (name === 'read entry') return flagsText(entryFlags(text));
  return numberOf(text, registerOf(name), levels).toString(16);
}

/** `base+smap-wp`, `root+1`, or hex: `1000+8`. */
function numberOf(text: string, register: keyof typeof BASE, levels: 4 | 5): bigint {
  const base = BASE[register];
  let value = 0n;
  for (const [, sign, word = ''] of text.matchAll(/([+-]?)([a-z0-9]+)/g)) {
    const bits = BITS[register]?.[word];
    let term: bigint;
    if (word === 'base') term = typeof base === 'bigint' ? base : base(levels);
    else if (word === 'root') term = BASE.cr3;
    else if (word === 'root2') term = BASE.cr3 + 0x1000n;
    else if (bits !== undefined) term = bits;
    else term = hex(word);
    if (sign === '-') value &= ~term;
    else if (bits === undefined) value += term;
    else value |= term;
  }
  return value;
}

function hex(text: string): bigint {
  if (!/^[0-9a-f]+$/.test(text)) throw new Error(`${text || 'nothing'}: expected a number in hex`);
  return BigInt(`0x${text}`);
}

/** `p,w,u,key=3`: single bits by name, a protection key, others as `0x`. */
function entryFlags(text: string): bigint {
  return text.split(',').reduce((flags, word) => flags | entryFlag(word), 0n);
}

function entryFlag(word: string): bigint {
  const named = ENTRY_FLAGS[word];
  if (named !== undefined) return named;
  if (word.startsWith('key=')) return BigInt(Number(word.slice(4))) << 59n;
  if (word.startsWith('bit')) return 1n << BigInt(Number(word.slice(3)));
  throw new Error(`${word}: no flag of an entry`);
}

function entryChange(text: string): EntryChange {
  let set = 0n;
  let clear = 0n;
  for (const [, sign, word = ''] of text.matchAll(/([+-])([a-z0-9=]+)/g)) {
    if (sign === '+') set |= entryFlag(word);
    else clear |= entryFlag(word);
  }
  return { set, clear };
}

/** The flags of an entry as `read entry` gives them; its address and key are not told. */
export function flagsText(entry: bigint): string {
  const names = Object.keys(ENTRY_FLAGS).filter((name) => (entry & (ENTRY_FLAGS[name] ?? 0n)) !== 0n);
  return names.length === 0 ? '0' : names.join(',');
}

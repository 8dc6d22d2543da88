import { createEpt, type EptFault, encodeEptp } from '@heki/ept';
import type { Pfn, VirtualAddress } from '@heki/physical-memory';
import { type Access, INTEL_VT_RP, pagingRegisters } from '@heki/x86';
import { ResultCounter, type VectorKind } from './kind.ts';
import { readLines } from './read.ts';
import {
  answerOfTranslate,
  answerOfWalker,
  type CaseMemory,
  type TwoStageCase,
  type TwoStageModel,
} from './two-stage-case.ts';

/** What an access through one EPT entry with given rights must do. Each row must hold in all the ways it can be met. */
export const eptRights: VectorKind = {
  matches: (path) => /(^|\/)ept-rights\.tsv$/.test(path),
  run(path) {
    const [, ...lines] = readLines(path);
    const result = new ResultCounter();
    for (const line of lines) {
      const row = parseRow(line);
      const wrong = [...arrangements(row)].flatMap((arrangement) => {
        const difference = run(row, arrangement);
        return difference === undefined ? [] : [difference];
      });
      result.count(wrong.length === 0, () => [line, ...wrong.slice(0, 5)].join('\n  '));
    }
    return result;
  },
};

interface Row {
  /** `undefined`: both. */
  readonly modeBasedExecute: boolean | undefined;
  readonly executeOnly: boolean | undefined;
  readonly accessedDirty: boolean | undefined;
  readonly kind: string;
  /** The rights are those of the page that holds the guest's PTE. */
  readonly ofPageTable: boolean;
  readonly rights: bigint;
  readonly operations: readonly string[];
  /** A and D of the guest's PTE. */
  readonly guestFlags: bigint;
  readonly qualification: string;
}

const OPERATIONS: Readonly<Record<string, Access>> = {
  read: { kind: 'read', mode: 'supervisor' },
  write: { kind: 'write', mode: 'supervisor' },
  'fetch-supervisor': { kind: 'fetch', mode: 'supervisor' },
  'fetch-user': { kind: 'fetch', mode: 'user' },
};

/** @throws {Error} naming the column that cannot be read */
function parseRow(line: string): Row {
  const [, mbec, executeOnly, ad, kind = '', perm, op = '', flags = '-', qualification = ''] =
    line.split('\t');
  const either = (text: string | undefined): boolean | undefined =>
    text === '-' ? undefined : text === '1' || text === 'enabled';
  const [outcome = '', paddr] = kind.split('_');
  if (!['allowed', 'violation', 'misconfig'].includes(outcome)) throw new Error(`kind ${kind} is not known`);
  if (op !== 'ANY' && OPERATIONS[op] === undefined) throw new Error(`op ${op} is not known`);
  return {
    modeBasedExecute: either(mbec),
    executeOnly: either(executeOnly),
    accessedDirty: either(ad),
    kind: outcome,
    ofPageTable: paddr === 'paddr',
    rights: BigInt(`0x${perm}`),
    operations: op === 'ANY' ? Object.keys(OPERATIONS) : [op],
    guestFlags: flags === '-' ? 0x60n : BigInt(`0x${flags}`),
    qualification: qualification.trim(),
  };
}

interface Arrangement {
  readonly modeBasedExecute: boolean;
  readonly executeOnly: boolean;
  readonly accessedDirty: boolean;
  readonly operation: string;
  /** The level of the EPT leaf that maps the page. */
  readonly leaf: 1 | 2 | 3;
  /** The level of the EPT entry that has the rights. */
  readonly level: number;
}

function* arrangements(row: Row): Generator<Arrangement> {
  const values = (value: boolean | undefined) => (value === undefined ? [false, true] : [value]);
  for (const modeBasedExecute of values(row.modeBasedExecute)) {
    for (const executeOnly of values(row.executeOnly)) {
      for (const accessedDirty of values(row.accessedDirty)) {
        for (const operation of row.operations) {
          for (const leaf of row.ofPageTable ? ([1] as const) : ([1, 2, 3] as const)) {
            for (let level: number = leaf; level <= (row.ofPageTable ? 1 : 4); level++) {
              yield { modeBasedExecute, executeOnly, accessedDirty, operation, leaf, level };
            }
          }
        }
      }
    }
  }
}

const LA = 0x7f12_3456_7018n as VirtualAddress;
/** Guest frames of the guest's tables, root first, which EPT maps to the same host frames. */
const GUEST_TABLES = [0x10, 0x11, 0x12, 0x13] as const;
const GUEST_PTE = GUEST_TABLES[3] * 4096 + Number((LA >> 12n) & 511n) * 8;
/** The guest page: in another half-terabyte than the tables, so that they share no EPT entry but through the root. */
const PAGE = 0x80_4020_1000n;
/** Host frames of the EPT tables: the root, those over the guest's tables, those over the page; by level. */
const EPT_ROOT = 0x100;
const OVER_TABLES = [0, 0x101, 0x102, 0x103] as const;
const OVER_PAGE = [0, 0x111, 0x112, 0x113] as const;
const ALL = 0x407n;

/** What differs, or `undefined`. */
function run(row: Row, arrangement: Arrangement): string | undefined {
  const { modeBasedExecute, executeOnly, accessedDirty } = arrangement;
  const access = OPERATIONS[arrangement.operation];
  if (access === undefined || INTEL_VT_RP.ept === undefined) throw new Error('unreachable');
  const profile = { ...INTEL_VT_RP, ept: { ...INTEL_VT_RP.ept, executeOnly } };
  const vector: TwoStageCase = {
    id: '',
    la: LA,
    access,
    registers: pagingRegisters({ cr3: BigInt(GUEST_TABLES[0]) << 12n }),
    maxPhysicalAddressBits: profile.maxPhysicalAddressBits,
    gigabytePages: true,
    eptp: encodeEptp({
      accessedDirty,
      root: EPT_ROOT as Pfn,
    }),
    modeBasedExecute,
    advancedViolationInfo: true,
    executeOnly,
    ncr3: undefined,
    memory: [...guestTables(row, access), ...eptTables(row, arrangement)],
  };
  const { eptp = 0n } = vector;
  const model: TwoStageModel<EptFault> = {
    processor: profile,
    secondLevel: (memory: CaseMemory) =>
      createEpt({ memory, eptp, processor: profile, controls: { modeBasedExecute } }),
    describeFault: (fault) =>
      fault.kind === 'ept-violation'
        ? `violation ${(fault.qualification & ~0xe00).toString(16)} at ${fault.gpa.toString(16)}`
        : `${fault.kind === 'ept-misconfiguration' ? 'misconfig' : fault.kind} at ${fault.gpa.toString(16)}`,
  };
  const at = row.ofPageTable ? GUEST_PTE.toString(16) : (PAGE | (LA & 0xfffn)).toString(16);
  const expected =
    row.kind === 'allowed'
      ? `ok hpa=${(PAGE | (LA & 0xfffn)).toString(16)}`
      : row.kind === 'violation'
        ? `violation ${row.qualification} at ${at}`
        : `misconfig at ${at}`;
  const outcome = (answer: string): string => answer.replace(/ w=.*$/, '').trim();
  const readable = outcome(answerOfTranslate(vector, model));
  const fast = outcome(answerOfWalker(vector, model));
  if (readable === expected && fast === expected) return undefined;
  return `${JSON.stringify(arrangement)}: expected ${expected}, translate ${readable}, walker ${fast}`;
}

function indexAt(address: bigint, level: number): number {
  return Number((address >> BigInt(12 + 9 * (level - 1))) & 511n);
}

/** Guest tables with A and D set everywhere but, as the row says, in the PTE. */
function guestTables(row: Row, access: Access): [number, bigint][] {
  const user = access.mode === 'user' ? 4n : 0n;
  return GUEST_TABLES.map((frame, depth) => {
    const level = 4 - depth;
    const next = GUEST_TABLES[depth + 1];
    const entry = next === undefined ? PAGE | row.guestFlags : (BigInt(next) << 12n) | 0x60n;
    return [frame * 4096 + indexAt(LA, level) * 8, entry | user | 3n];
  });
}

function eptTables(row: Row, { leaf, level }: Arrangement): [number, bigint][] {
  const entries: [number, bigint][] = [];
  const at = (table: number, index: number): number => table * 4096 + index * 8;
  const table = (frame: number): bigint => (BigInt(frame) << 12n) | ALL;
  entries.push([at(EPT_ROOT, 0), table(OVER_TABLES[3])]);
  entries.push([at(OVER_TABLES[3], 0), table(OVER_TABLES[2])]);
  entries.push([at(OVER_TABLES[2], 0), table(OVER_TABLES[1])]);
  for (const frame of GUEST_TABLES) {
    const rights = row.ofPageTable && frame === GUEST_TABLES[3] ? row.rights : ALL;
    entries.push([at(OVER_TABLES[1], frame), (BigInt(frame) << 12n) | 0x30n | rights]);
  }
  for (let here = 4; here >= leaf; here--) {
    const rights = !row.ofPageTable && here === level ? row.rights : ALL;
    const size = 1n << BigInt(12 + 9 * (here - 1));
    const entry =
      here === leaf
        ? (PAGE - (PAGE % size)) | 0x30n | (here > 1 ? 0x80n : 0n)
        : BigInt(OVER_PAGE[here - 1] ?? 0) << 12n;
    const holder = here === 4 ? EPT_ROOT : (OVER_PAGE[here] ?? 0);
    entries.push([at(holder, indexAt(PAGE, here)), entry | rights]);
  }
  return entries;
}

import {
  exceptionText,
  flagsText,
  type InstructionName,
  LAYOUT,
  type Poke,
  ROOT,
  type Sequence,
  SequenceTables,
  TOLD,
} from '@heki-internal/vectors/sequences';

/** Steps that are not instructions, by number, as `guest.S` has them. */
const START_OVER = 0;
const POKE = 1;
const PEEK = 2;
const BEGIN = 3;
const BEGIN_NESTED = 4;
const DESCRIBE = 5;
const PEEK_DESCRIPTOR = 6;
/** Instructions, in the order of their fragments there. */
const FRAGMENTS: readonly InstructionName[] = [
  'load 1',
  'load 8',
  'store 1',
  'store 8',
  'xchg',
  'fetch',
  'mov cr0',
  'mov cr3',
  'mov cr4',
  'read cr0',
  'read cr3',
  'read cr4',
  'wrmsr',
  'rdmsr',
  'lgdt',
  'lidt',
  'lldt',
  'ltr',
  'invlpg',
  'invpcid',
  'clac',
  'stac',
  'wrpkru',
  'smsw',
  'sgdt',
  'sidt',
  'sldt',
  'str',
  'clts',
  'lmsw',
  'cli',
];
const FIRST_FRAGMENT = 16;
const USER = 1;
const NESTED = 2;

const STEP_BYTES = 64;
const EFER = 0xc000_0080n;
const NXE = 1n << 11n;
const HOST_EFER = 0x1d01n;
const SMEP = 1n << 20n;

interface Step {
  readonly operation: number;
  readonly mode?: number;
  readonly args?: readonly bigint[];
  /** The instruction of the sequence whose outcome the step tells; none for what is only set up. */
  readonly tells?: (line: readonly bigint[]) => string;
  /** Its line is not part of the outcome. */
  readonly silent?: true;
}

/** A program for the guest: its bytes, and what makes its output the outcomes of sequences. */
export interface Program {
  readonly bytes: Uint8Array;
  /** Outcomes by sequence. Fewer than there are when the guest ended early. */
  readOutput(output: string): string[][];
}

/** A program that executes `sequences`, all of which have the same number of levels. */
export function encodeProgram(sequences: readonly Sequence[]): Program {
  const programs = sequences.map(stepsOf);
  const steps = programs.flat();
  const bytes = new Uint8Array(STEP_BYTES * (steps.length + 1));
  const view = new DataView(bytes.buffer);
  view.setUint32(8, sequences[0]?.processor.levels === 5 ? 1 : 0, true);
  view.setUint32(12, steps.length, true);
  for (const [i, { operation, mode = 0, args = [] }] of steps.entries()) {
    const at = STEP_BYTES * (i + 1);
    view.setUint32(at, operation, true);
    view.setUint32(at + 4, mode, true);
    for (const [j, arg] of args.entries()) view.setBigUint64(at + 8 + 8 * j, BigInt.asUintN(64, arg), true);
  }
  return {
    bytes,
    readOutput(output) {
      const lines = output
        .split('\n')
        .filter((line) => /^[0-9a-f]+ [0-9a-f]+ [0-9a-f]+ [0-9a-f]+$/.test(line));
      let next = 0;
      return programs.map((program) => {
        const outcomes: string[] = [];
        for (const { tells, silent } of program) {
          if (tells === undefined && silent === undefined) continue;
          const line = lines[next++];
          if (line === undefined) break;
          if (tells !== undefined) outcomes.push(tells(line.split(' ').map((word) => BigInt(`0x${word}`))));
        }
        return outcomes;
      });
    },
  };
}

function stepsOf(sequence: Sequence): Step[] {
  const tables = new SequenceTables(sequence);
  const { nested } = sequence.processor;
  const steps: Step[] = [{ operation: START_OVER }];
  const pokeTables = (): void => {
    steps.push(
      ...tables
        .take()
        .map(({ address, value }: Poke) => ({ operation: POKE, args: [BigInt(address), value] })),
    );
  };
  pokeTables();
  steps.push(
    nested
      ? { operation: BEGIN_NESTED, args: [ROOT, BigInt(LAYOUT.nested * 4096)] }
      : { operation: BEGIN, args: [ROOT] },
  );
  for (const step of sequence.steps) {
    switch (step.kind) {
      case 'descriptor':
        steps.push({ operation: DESCRIBE, args: [BigInt(step.selector), step.low, step.high] });
        break;
      case 'host':
        steps.push(
          instruction('wrmsr', 0, [EFER, step.nxe ? HOST_EFER : HOST_EFER & ~NXE]),
          instruction('mov cr4', 0, [0x620n | (step.smep ? SMEP : 0n)]),
        );
        break;
      case 'instruction': {
        const { name, user, args } = step;
        const [first = 0n, second = 0n] = args;
        if (name === 'read entry') {
          const address = BigInt(tables.entryAddress(first, Number(second)));
          steps.push({ operation: PEEK, args: [address], tells: ([, , , value = 0n]) => flagsText(value) });
        } else if (name === 'read descriptor') {
          steps.push({
            operation: PEEK_DESCRIPTOR,
            args: [first],
            tells: ([, , , value = 0n]) => value.toString(16),
          });
        } else {
          const { silent: _, ...told } = instruction(name, (user ? USER : 0) | (nested ? NESTED : 0), args);
          steps.push({ ...told, tells: (line) => outcomeOf(name, line) });
        }
        break;
      }
      default:
        tables.apply(step);
        pokeTables();
    }
  }
  return steps;
}

function instruction(name: InstructionName, mode: number, args: readonly bigint[]): Step {
  return { operation: FIRST_FRAGMENT + FRAGMENTS.indexOf(name), mode, args, silent: true };
}

const DONE = 0x100n;
const NESTED_EXIT = 0x1000n;
const NESTED_PAGE_FAULT = NESTED_EXIT + 0x400n;

function outcomeOf(
  name: InstructionName,
  [vector = 0n, error = 0n, address = 0n, value = 0n]: readonly bigint[],
): string {
  if (vector === DONE) return TOLD.has(name) ? value.toString(16) : 'done';
  if (vector === NESTED_PAGE_FAULT) return `#NPF ${error.toString(16)} ${address.toString(16)}`;
  if (vector >= NESTED_EXIT) return `exit ${(vector - NESTED_EXIT).toString(16)}`;
  return exceptionText(Number(vector), error, address);
}

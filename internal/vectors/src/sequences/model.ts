import { createNpt } from '@heki/npt';
import { createRam, type Pfn, pfn, type Ram, type VirtualAddress, writeU64 } from '@heki/physical-memory';
import { createVcpu, type Outcome, type Vcpu, Vector } from '@heki/vcpu';
import { AMD_ZEN4, type CpuProfile, CR4, EFER, INTEL_VT_RP } from '@heki/x86';
import {
  BASE,
  flagsText,
  type Instruction,
  type InstructionName,
  type Sequence,
  type SequenceProcessor,
} from './sequence.ts';
import { LAYOUT, type Poke, ROOT, SequenceTables } from './tables.ts';

/** Frame of the GDT, which is identity-mapped like all of the first 16 MiB. */
const GDT = 0x10;
const TASK = 0x30;

/** The processor of a sequence as a profile. */
function profileOf({ vendor, maxPhysicalAddressBits, without, nested }: SequenceProcessor): CpuProfile {
  const processor = vendor === 'intel' ? INTEL_VT_RP : AMD_ZEN4;
  const absent = without.map((name) => CR4[name.toUpperCase() as keyof typeof CR4] ?? 0n);
  const cr4 = absent.reduce((mask, bit) => mask & ~bit, processor.cr4);
  // A nested guest cannot run without SVME.
  return { ...processor, maxPhysicalAddressBits, cr4, efer: processor.efer | (nested ? EFER.SVME : 0n) };
}

/** 16 MiB, with what lies in them when a sequence begins. */
function memoryOf(): Ram<Pfn> {
  const memory = createRam<Pfn>({ ranges: [{ start: pfn(0), end: pfn(0x1000) }] });
  // The first GiB to itself, for the supervisor.
  poke(memory, { address: LAYOUT.own * 4096, value: BigInt((LAYOUT.own + 1) * 4096) | 0x23n });
  for (let i = 0; i < 512; i++) {
    poke(memory, { address: (LAYOUT.own + 1) * 4096 + i * 8, value: BigInt(i * 0x20_0000) | 0xe3n });
  }
  for (let frame = LAYOUT.pages; frame < LAYOUT.pagesEnd; frame++) {
    memory.writablePage(pfn(frame))?.fill(0xc3c3_c3c3);
  }
  memory.writablePage(pfn(LAYOUT.large))?.fill(0xc3c3_c3c3, 0, 2);
  return memory;
}

function poke(memory: Ram<Pfn>, { address, value }: Poke): void {
  writeU64<Pfn>(memory, address as never, {
    low: Number(value & 0xffff_ffffn),
    high: Number(value >> 32n),
  });
}

function peek(memory: Ram<Pfn>, address: number): bigint {
  const page = memory.page(pfn(Math.floor(address / 4096)));
  const word = (address % 4096) / 4;
  return (BigInt(page?.[word + 1] ?? 0) << 32n) | BigInt(page?.[word] ?? 0);
}

/** The outcome of the instructions of a sequence on the model, in their order, as a line writes it. */
export function runOnModel(sequence: Sequence): string[] {
  const { processor: described, steps } = sequence;
  const memory = memoryOf();
  const tables = new SequenceTables(sequence);
  const pokeTables = (): void => {
    for (const each of tables.take()) poke(memory, each);
  };
  pokeTables();
  const processor = profileOf(described);
  let exit: string | undefined;
  const cpu = createVcpu({
    id: 0,
    memory,
    processor,
    registers: {
      cr0: BASE.cr0,
      cr3: ROOT,
      cr4: BASE.cr4(described.levels),
      efer: BASE.efer | (described.nested ? EFER.SVME : 0n),
      rip: 0x10_0000n as VirtualAddress,
      codeSegment64: true,
      gdtr: { base: BigInt(GDT * 4096) as VirtualAddress, limit: 0x5f },
      tr: TASK,
    },
    onExit(_cpu, left) {
      exit =
        left.reason === 'nested-page-fault'
          ? `#NPF ${left.info1.toString(16)} ${left.gpa.toString(16)}`
          : left.reason;
      return { kind: 'skip' };
    },
  });
  const useNested = (hostNxe: boolean, hostSmep: boolean): void => {
    if (!described.nested) return;
    cpu.useSecondLevel(createNpt({ memory, root: pfn(LAYOUT.nested), processor, hostNxe, hostSmep }), 1);
    // A new ASID: nothing that was cached under other registers of the host counts.
    cpu.invept();
  };
  useNested(true, false);

  const outcomes: string[] = [];
  for (const step of steps) {
    switch (step.kind) {
      case 'descriptor':
        poke(memory, { address: GDT * 4096 + step.selector, value: step.low });
        poke(memory, { address: GDT * 4096 + step.selector + 8, value: step.high });
        break;
      case 'host':
        useNested(step.nxe, step.smep);
        break;
      case 'instruction': {
        exit = undefined;
        const text = execute(cpu, step, memory, tables);
        outcomes.push(exit ?? text);
        // A nested guest enters with an empty TLB each time.
        if (described.nested) cpu.invept();
        break;
      }
      default:
        tables.apply(step);
        pokeTables();
    }
  }
  return outcomes;
}

function execute(cpu: Vcpu, step: Instruction, memory: Ram<Pfn>, tables: SequenceTables): string {
  const { name, user, args } = step;
  const [first = 0n, second = 0n] = args;
  if (name === 'read entry') return flagsText(peek(memory, tables.entryAddress(first, Number(second))));
  if (name === 'read descriptor') return peek(memory, GDT * 4096 + Number(first)).toString(16);
  cpu.registers.cpl = user ? 3 : 0;
  const outcome = ACTIONS[name](cpu, ...args);
  cpu.registers.cpl = 0;
  // The base of a table depends on who executes; what is loaded is not told either.
  const value = TOLD.has(name) && outcome.kind === 'done' ? outcome.value : undefined;
  return outcomeText(outcome, value);
}

/** Instructions whose value is told. */
export const TOLD: ReadonlySet<InstructionName> = new Set<InstructionName>([
  'load 1',
  'load 8',
  'xchg',
  'read cr0',
  'read cr3',
  'read cr4',
  'rdmsr',
  'smsw',
  'sldt',
  'str',
  'read entry',
  'read descriptor',
]);

const va = (value: bigint): VirtualAddress => value as VirtualAddress;

const ACTIONS: Readonly<
  Record<
    Exclude<InstructionName, 'read entry' | 'read descriptor'>,
    (cpu: Vcpu, a?: bigint, b?: bigint, c?: bigint) => Outcome<unknown>
  >
> = {
  'load 1': (cpu, at = 0n) => cpu.load(va(at), 1),
  'load 8': (cpu, at = 0n) => cpu.load(va(at), 8),
  'store 1': (cpu, at = 0n, value = 0n) => cpu.store(va(at), 1, value),
  'store 8': (cpu, at = 0n, value = 0n) => cpu.store(va(at), 8, value),
  xchg: (cpu, at = 0n, value = 0n) => cpu.readModifyWrite(va(at), 8, () => value),
  fetch: (cpu, at = 0n) => cpu.fetch(va(at)),
  'mov cr0': (cpu, value = 0n) => cpu.movToCr(0, value),
  'mov cr3': (cpu, value = 0n) => cpu.movToCr(3, value),
  'mov cr4': (cpu, value = 0n) => cpu.movToCr(4, value),
  'read cr0': (cpu) => cpu.movFromCr(0),
  'read cr3': (cpu) => cpu.movFromCr(3),
  'read cr4': (cpu) => cpu.movFromCr(4),
  wrmsr: (cpu, msr = 0n, value = 0n) => cpu.wrmsr(Number(msr), value),
  rdmsr: (cpu, msr = 0n) => cpu.rdmsr(Number(msr)),
  lgdt: (cpu, base = 0n, limit = 0n) => kept(cpu, 'gdtr', () => cpu.lgdt(va(base), Number(limit))),
  lidt: (cpu, base = 0n, limit = 0n) => kept(cpu, 'idtr', () => cpu.lidt(va(base), Number(limit))),
  lldt: (cpu, selector = 0n) => cpu.lldt(Number(selector)),
  ltr: (cpu, selector = 0n) => kept(cpu, 'tr', () => cpu.ltr(Number(selector))),
  invlpg: (cpu, at = 0n) => cpu.invlpg(va(at)),
  invpcid: (cpu, type = 0n, pcid = 0n, at = 0n) => cpu.invpcid(Number(type), Number(pcid), va(at)),
  clac: (cpu) => cpu.clac(),
  stac: (cpu) => cpu.stac(),
  wrpkru: (cpu, value = 0n) => cpu.wrpkru(Number(value)),
  smsw: (cpu) => cpu.smsw(),
  sgdt: (cpu) => cpu.sgdt(),
  sidt: (cpu) => cpu.sidt(),
  sldt: (cpu) => cpu.sldt(),
  str: (cpu) => cpu.str(),
  clts: (cpu) => cpu.clts(),
  lmsw: (cpu, value = 0n) => cpu.lmsw(Number(value)),
  cli: (cpu) => cpu.cli(),
};

/** Whoever executes a sequence needs the own tables again behind the instruction that loads others. */
function kept(cpu: Vcpu, register: 'gdtr' | 'idtr' | 'tr', load: () => Outcome): Outcome {
  const before = cpu.registers[register];
  const outcome = load();
  Object.assign(cpu.registers, { [register]: before });
  return outcome;
}

const NAMES = new Map<number, string>(Object.entries(Vector).map(([name, vector]) => [vector, name]));
/** Exceptions with an error code that says something. */
const CODED: ReadonlySet<number> = new Set([Vector.TS, Vector.NP, Vector.SS, Vector.GP, Vector.PF]);

/** An exception as a line writes it: `#PF 3 1000`, `#GP 0`, `#UD`. */
export function exceptionText(vector: number, errorCode: bigint, cr2: bigint): string {
  const name = `#${NAMES.get(vector) ?? vector}`;
  if (vector === Vector.PF) return `${name} ${errorCode.toString(16)} ${cr2.toString(16)}`;
  return CODED.has(vector) ? `${name} ${errorCode.toString(16)}` : name;
}

function outcomeText(outcome: Outcome<unknown>, value: unknown): string {
  switch (outcome.kind) {
    case 'done':
      return typeof value === 'bigint' ? value.toString(16) : 'done';
    case 'exception':
      return exceptionText(outcome.vector, BigInt(outcome.errorCode), outcome.cr2 ?? 0n);
    default:
      return outcome.kind;
  }
}

import { RFLAGS } from '@heki/x86';
import { expect, test } from 'vitest';
import { machine, PTE, type Tables, va } from '../testing/machine.ts';
import type { Vcpu } from '../vcpu.ts';
import { combineExceptions } from './double-fault.ts';
import type { Exception, ExceptionDecision, ExceptionFrame } from './exception.ts';

const KERNEL = va(0xffff_8880_0000_0000n);
const IDT = va(0xffff_fe00_0000_0000n);
const HANDLER = va(0xffff_ffff_8110_0000n);
const RW = PTE.P | PTE.W;
const INTERRUPT_GATE = 0x8e;
const TRAP_GATE = 0x8f;

type Handle = (vcpu: Vcpu, exception: Exception, frame: ExceptionFrame) => ExceptionDecision;

function withHandler(onException: Handle): ReturnType<typeof machine> {
  const made = machine({
    onException,
    onExit: (_vcpu, exit) => ({ kind: 'stop', why: exit.reason }),
  });
  made.tables.map(KERNEL, 200, RW);
  return made;
}

/** Writes a gate for `vector` into the IDT at frame 210 and loads IDTR. */
function gate(
  cpu: Vcpu,
  tables: Tables,
  vector: number,
  access = INTERRUPT_GATE,
  handler: bigint = HANDLER,
): void {
  tables.map(IDT, 210, RW);
  const at = va(IDT + BigInt(vector * 16));
  const low =
    (handler & 0xffffn) | (0x10n << 16n) | (BigInt(access) << 40n) | (((handler >> 16n) & 0xffffn) << 48n);
  cpu.store(at, 8, low);
  cpu.store(va(at + 8n), 8, handler >> 32n);
  cpu.lidt(IDT, 0xfff);
}

test('a handler that mends the cause lets the instruction complete', () => {
  const { cpu, tables } = withHandler((_vcpu, { cr2 }) => {
    if (cr2 !== undefined) tables.map(cr2, 201, RW);
    return 'retry';
  });
  const { rip } = cpu.registers;
  expect(cpu.load(va(KERNEL + 0x5000n), 8)).toEqual({ kind: 'done', value: 0n });
  expect(cpu.registers.rip).toBe(rip + 3n);
});

test('fixup and fatal end the instruction and are told apart', () => {
  let decision: ExceptionDecision = 'fixup';
  const { cpu } = withHandler(() => decision);
  const fault = { kind: 'exception', vector: 14, errorCode: 0, cr2: KERNEL + 0x5000n };
  expect(cpu.load(va(KERNEL + 0x5000n), 8)).toEqual({ ...fault, fixedUp: true });
  decision = 'fatal';
  expect(cpu.load(va(KERNEL + 0x5000n), 8)).toEqual({ ...fault, fixedUp: false });
});

test('a handler runs at CPL 0 with interrupts off, and its instructions move nothing of what it interrupted', () => {
  const { cpu } = withHandler((vcpu, _exception, frame) => {
    expect(frame).toEqual({ rip, cpl: 3, rflags, handler: undefined });
    expect(vcpu.registers.cpl).toBe(0);
    expect(vcpu.registers.rflags & RFLAGS.IF).toBe(0n);
    expect(vcpu.registers.rflags & RFLAGS.AC).toBe(RFLAGS.AC);
    expect(vcpu.load(KERNEL, 8)).toMatchObject({ kind: 'done' });
    return 'fixup';
  });
  cpu.registers.cpl = 3;
  cpu.registers.rflags |= RFLAGS.AC;
  const { rip, rflags } = cpu.registers;
  cpu.load(va(0x1000n), 8);
  expect(cpu.registers).toMatchObject({ rip, rflags, cpl: 3 });
});

test('with an IDT the gate names the handler, and a trap gate leaves interrupts on', () => {
  const seen: { handler: bigint | undefined; rip: bigint; interrupts: boolean }[] = [];
  const { cpu, tables } = withHandler((vcpu, _exception, { handler }) => {
    const { rip, rflags } = vcpu.registers;
    seen.push({ handler, rip, interrupts: (rflags & RFLAGS.IF) !== 0n });
    return 'fatal';
  });
  gate(cpu, tables, 14, TRAP_GATE);
  cpu.load(va(0x1000n), 8);
  gate(cpu, tables, 14, INTERRUPT_GATE);
  cpu.load(va(0x1000n), 8);
  expect(seen).toEqual([
    { handler: HANDLER, rip: HANDLER, interrupts: true },
    { handler: HANDLER, rip: HANDLER, interrupts: false },
  ]);
});

test('an attacker who loads an IDT of its own gets the exceptions', () => {
  const evil = va(0xffff_8880_dead_0000n);
  let taken: bigint | undefined;
  const { cpu, tables } = withHandler((_vcpu, _exception, { handler }) => {
    taken = handler;
    return 'fatal';
  });
  gate(cpu, tables, 14, INTERRUPT_GATE, evil);
  cpu.load(va(0x1000n), 8);
  expect(taken).toBe(evil);
});

test.each([
  ['beyond the limit', (cpu: Vcpu) => cpu.lidt(IDT, 14 * 16)],
  ['of another type', (cpu: Vcpu, tables: Tables) => gate(cpu, tables, 14, 0x85)],
  ['that is not present', (cpu: Vcpu, tables: Tables) => gate(cpu, tables, 14, 0x0e)],
  ['with a non-canonical handler', (cpu: Vcpu, tables: Tables) => gate(cpu, tables, 14, 0x8e, 1n << 60n)],
] as const)('a gate %s turns #PF into #DF', (_what, prepare) => {
  const seen: number[] = [];
  const { cpu, tables } = withHandler((_vcpu, { vector }) => {
    seen.push(vector);
    return 'fatal';
  });
  gate(cpu, tables, 8);
  prepare(cpu, tables);
  expect(cpu.load(va(0x1000n), 8)).toMatchObject({ kind: 'exception', vector: 8, errorCode: 0 });
  expect(seen).toEqual([8]);
});

test('an IDT that is not mapped makes every exception a triple fault, which the hypervisor hears of', () => {
  const { cpu } = withHandler(() => 'fatal');
  cpu.lidt(va(0x7000_0000n), 0xfff);
  expect(cpu.load(va(0x1000n), 8)).toEqual({ kind: 'triple-fault' });
  expect(cpu.load(KERNEL, 8)).toEqual({ kind: 'triple-fault' });
  expect(cpu.registers.cr2).toBe(0x7000_0000n + 8n * 16n);
});

test('a hypervisor that answers a triple fault has the processor go on, with nothing of it left', () => {
  for (const kind of ['resume', 'skip'] as const) {
    const { cpu, tables } = machine({ onExit: () => ({ kind }) });
    tables.map(KERNEL, 200, RW);
    cpu.registers.idtr = { base: va(0x5000_0000n), limit: 0xfff };
    const { rip } = cpu.registers;
    expect(cpu.load(va(0x6000_0000n), 8)).toEqual({ kind: 'triple-fault' });
    expect(cpu.halted).toBe(undefined);
    expect(cpu.queuedException).toBe(undefined);
    expect(cpu.registers.rip).toBe(rip);
    expect(cpu.load(KERNEL, 8)).toMatchObject({ kind: 'done' });
  }
});

test('a gate counts when its last byte is within the limit of the IDT', () => {
  const vectors = (limit: number): number[] | string => {
    const seen: number[] = [];
    const { cpu, tables } = withHandler((_vcpu, { vector }) => {
      seen.push(vector);
      return 'fatal';
    });
    for (const vector of [8, 14]) gate(cpu, tables, vector);
    cpu.lidt(IDT, limit);
    const outcome = cpu.load(va(0x1000n), 8);
    return outcome.kind === 'exception' ? seen : outcome.kind;
  };
  expect(vectors(14 * 16 + 15)).toEqual([14]);
  expect(vectors(14 * 16 + 14)).toEqual([8]);
  expect(vectors(8 * 16 + 15)).toEqual([8]);
  expect(vectors(8 * 16 + 14)).toBe('triple-fault');
});

/** SDM 3A, table 6-4 and 6-5. */
const CLASS: Readonly<Record<number, 'contributory' | 'page fault' | 'double fault'>> = {
  0: 'contributory',
  8: 'double fault',
  10: 'contributory',
  11: 'contributory',
  12: 'contributory',
  13: 'contributory',
  14: 'page fault',
  20: 'page fault',
  21: 'contributory',
};

test('tables 6-4 and 6-5: what a second exception during the delivery of a first becomes', () => {
  for (let first = 0; first < 32; first++) {
    for (let second = 0; second < 32; second++) {
      const [one, two] = [CLASS[first], CLASS[second]];
      const combined = combineExceptions({ vector: first, errorCode: 1 }, { vector: second, errorCode: 2 });
      const becomesDouble =
        (one === 'contributory' && two === 'contributory') ||
        (one === 'page fault' && (two === 'contributory' || two === 'page fault'));
      const shutsDown = one === 'double fault' && (two === 'contributory' || two === 'page fault');
      expect([first, second, combined]).toEqual([
        first,
        second,
        shutsDown
          ? 'triple-fault'
          : becomesDouble
            ? { vector: 8, errorCode: 0 }
            : { vector: second, errorCode: 2 },
      ]);
    }
  }
});

test('a handler that faults in its turn for ever ends in a double fault, and then a triple one', () => {
  const vectors = new Map<number, number>();
  const { cpu } = withHandler((vcpu, { vector }) => {
    vectors.set(vector, (vectors.get(vector) ?? 0) + 1);
    vcpu.load(va(0x1000n), 8);
    return 'retry';
  });
  expect(cpu.load(va(0x1000n), 8)).toEqual({ kind: 'triple-fault' });
  expect([...vectors]).toEqual([
    [14, 32],
    [8, 1],
  ]);
});

test('an exception that the hypervisor queues is delivered before the next instruction', () => {
  const seen: Exception[] = [];
  const { cpu } = withHandler((_vcpu, exception) => {
    seen.push(exception);
    return 'retry';
  });
  cpu.queueException({ vector: 14, errorCode: 0x11, cr2: KERNEL });
  expect(cpu.registers.cr2).toBe(KERNEL);
  expect(cpu.queuedException).toEqual({ vector: 14, errorCode: 0x11, cr2: KERNEL });
  expect(cpu.load(KERNEL, 8)).toMatchObject({ kind: 'done' });
  expect(cpu.queuedException).toBe(undefined);
  expect(seen).toEqual([{ vector: 14, errorCode: 0x11, cr2: KERNEL }]);
  for (const _ of [1, 2]) cpu.queueException({ vector: 13, errorCode: 0 });
  expect(cpu.load(KERNEL, 8)).toMatchObject({ kind: 'done' });
  expect(seen.at(-1)).toEqual({ vector: 8, errorCode: 0 });
  for (const _ of [1, 2, 3]) cpu.queueException({ vector: 13, errorCode: 0 });
  expect(cpu.load(KERNEL, 8)).toEqual({ kind: 'triple-fault' });
});

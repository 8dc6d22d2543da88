import { CR4 } from '@heki/x86';
import { expect, test } from 'vitest';
import { describeException, describeExit, describeVcpuEvent } from './describe-event.ts';
import type { EmulatedMemory, ExitAction } from './exit-action.ts';
import { machine, PTE, va } from './testing/machine.ts';
import { ListedSecondLevel } from './testing/second-level.ts';

const KERNEL = va(0xffff_8880_0000_0000n);

test('a trace reads like a story: what executed, what left the guest, what was answered, how it ended', () => {
  const secondLevel = new ListedSecondLevel();
  secondLevel.map(0, 128);
  const trace: string[] = [];
  const { cpu, tables } = machine({
    secondLevel,
    changes: { rip: va(0xffff_ffff_8100_0000n) },
    onEvent: (event) => trace.push(describeVcpuEvent(event)),
    onExit: (_vcpu, exit): ExitAction => {
      if (exit.reason !== 'ept-violation') return { kind: 'stop', why: 'KVM_EXIT_SHUTDOWN' };
      if ((exit.qualification & 0x38) === 0) {
        secondLevel.map(200, 1, { read: true }, 1000);
        return { kind: 'resume' };
      }
      return {
        kind: 'inject',
        exception: { vector: 14, errorCode: 3, cr2: exit.gla },
      };
    },
    onException: (_vcpu, { vector }) => (vector === 14 ? 'retry' : 'fatal'),
  });
  tables.map(KERNEL, 200, PTE.P | PTE.W);
  cpu.load(KERNEL, 8);
  cpu.movToCr(4, cpu.registers.cr4 | CR4.PGE);
  cpu.invlpg(KERNEL);
  cpu.store(KERNEL, 8, 1n);
  cpu.vmcall();
  expect(trace.slice(0, 11)).toEqual([
    'cpu 0: exit at 0xffffffff81000000: EPT violation 0x181, gpa 0xc8000, gla 0xffff888000000000',
    'cpu 0: hypervisor: resume',
    'cpu 0: load 8 bytes at 0xffff888000000000, host frame 0x4b0',
    'cpu 0: mov cr4, 0x3000a0',
    'cpu 0: flush by invlpg of 0xffff888000000000',
    'cpu 0: invlpg 0xffff888000000000',
    'cpu 0: exit at 0xffffffff81000009: EPT violation 0x18a, gpa 0xc8000, gla 0xffff888000000000',
    'cpu 0: hypervisor: inject #PF 0x3 (P W) at 0xffff888000000000',
    'cpu 0: injected #PF 0x3 (P W) at 0xffff888000000000, RIP 0xffffffff81000009',
    'cpu 0: handler of #PF: retry',
    'cpu 0: exit at 0xffffffff81000009: EPT violation 0x18a, gpa 0xc8000, gla 0xffff888000000000',
  ]);
  expect(trace.slice(-4)).toEqual([
    'cpu 0: livelock: a cycle of 2 turns repeats itself',
    'cpu 0: exit at 0xffffffff81000009: hypercall',
    'cpu 0: hypervisor: stop: KVM_EXIT_SHUTDOWN',
    'cpu 0: stopped: KVM_EXIT_SHUTDOWN',
  ]);
});

test('every instruction that completes is told', () => {
  const trace: string[] = [];
  const { cpu, tables } = machine({
    changes: { cr4: CR4.PAE | CR4.PKE | CR4.SMAP },
    onEvent: (event) => trace.push(describeVcpuEvent(event)),
    onExit: () => ({ kind: 'skip' }),
    controls: { vmfunc: true },
  });
  tables.map(KERNEL, 200, PTE.P | PTE.W);
  cpu.fetch(KERNEL, 2);
  cpu.readModifyWrite(KERNEL, 4, (old) => old);
  cpu.loadBytes(KERNEL, 5);
  cpu.storeBytes(KERNEL, Uint8Array.of(1));
  cpu.movFromCr(3);
  cpu.clts();
  cpu.lmsw(1);
  cpu.smsw();
  cpu.wrpkru(12);
  cpu.rdmsr(0xc000_0080);
  cpu.wrmsr(0xc000_0103, 7n);
  cpu.lgdt(KERNEL, 0x7f);
  cpu.lidt(KERNEL, 0xfff);
  cpu.lldt(0);
  cpu.sgdt();
  cpu.sidt();
  cpu.sldt();
  cpu.str();
  cpu.vmfunc();
  cpu.invpcid(2, 0, KERNEL);
  cpu.clac();
  cpu.stac();
  cpu.cli();
  cpu.sti();
  expect(
    trace.filter((line) => !line.includes('flush') && !line.includes('VMFUNC')).map((line) => line.slice(7)),
  ).toEqual([
    'fetch 2 bytes at 0xffff888000000000, host frame 0xc8',
    'read-modify-write 4 bytes at 0xffff888000000000, host frame 0xc8',
    'load 5 bytes at 0xffff888000000000, host frame 0xc8',
    'store 1 bytes at 0xffff888000000000, host frame 0xc8',
    'mov from cr3',
    'clts',
    'lmsw 0x1',
    'smsw',
    'wrpkru 0xc',
    'rdmsr 0xc0000080',
    'wrmsr 0xc0000103, 0x7',
    'lgdt 0xffff888000000000, 0x7f',
    'lidt 0xffff888000000000, 0xfff',
    'lldt 0x0',
    'sgdt',
    'sidt',
    'sldt',
    'str',
    'hypervisor: skip the instruction',
    'vmfunc',
    'invpcid 2, pcid 0, 0xffff888000000000',
    'clac',
    'stac',
    'cli',
    'sti',
  ]);
});

test('answers and ends of every kind have a text', () => {
  const failure = { kind: 'stop', why: 'emulation' } as const;
  const memory = { failure } as EmulatedMemory;
  const exception = { vector: 30, errorCode: 2 };
  const answers: ExitAction[] = [
    { kind: 'resume' },
    { kind: 'skip' },
    { kind: 'emulate', memory },
    { kind: 'inject', exception },
    failure,
  ];
  const ends = [
    { type: 'handled', vcpu: 1, vector: 30, decision: 'fatal' },
    { type: 'exception', vcpu: 1, rip: va(0x1000n), exception, injected: true },
    { type: 'access', vcpu: 1, access: 'load', va: va(0x1000n), bytes: 2, frame: undefined },
    { type: 'no-memory', vcpu: 1, access: 'read', gpa: 0x5000 as never },
    { type: 'flush', vcpu: 1, cause: 'invept' },
    { type: 'halted', vcpu: 1, outcome: { kind: 'triple-fault' } },
    { type: 'halted', vcpu: 1, outcome: { kind: 'stopped', why: 'shutdown' } },
  ] as const;
  expect([
    ...answers.map((action) => describeVcpuEvent({ type: 'entry', vcpu: 1, action })),
    ...ends.map(describeVcpuEvent),
  ]).toEqual(
    [
      'hypervisor: resume',
      'hypervisor: skip the instruction',
      'hypervisor: carry the instruction out',
      'hypervisor: inject exception 30(0x2)',
      'hypervisor: stop: emulation',
      'handler of exception 30: fatal',
      'injected exception 30(0x2), RIP 0x1000',
      'load 2 bytes at 0x1000, emulated',
      'no memory for the read at guest-physical 0x5000',
      'flush by invept',
      'triple fault',
      'stopped: shutdown',
    ].map((text) => `cpu 1: ${text}`),
  );
});

test('exits and exceptions of every kind have a text', () => {
  expect([
    describeExit({ reason: 'ept-violation', qualification: 0x183, gpa: 0x5000 as never, gla: undefined }),
    describeExit({ reason: 'ept-misconfiguration', gpa: 0x5000 as never }),
    describeExit({ reason: 'nested-page-fault', info1: 0x1_0000_0007n, gpa: 0x5000 as never }),
    describeExit({ reason: 'mov-to-cr', cr: 4, value: 0x20n }),
    describeExit({ reason: 'hypercall' }),
    describeExit({ reason: 'vmx-instruction', instruction: 'vmread' }),
    describeExit({ reason: 'rdmsr', msr: 0x10 }),
    describeExit({ reason: 'wrmsr', msr: 0x10, value: 1n }),
    describeExit({ reason: 'descriptor-table', register: 'idtr', value: 0x1000n }),
    describeExit({ reason: 'vmfunc', leaf: 0, index: 1 }),
    describeExit({ reason: 'triple-fault' }),
    describeException({ vector: 14, errorCode: 3 }),
    describeException({ vector: 14, errorCode: 3, cr2: va(0x1000n) }),
    describeException({ vector: 13, errorCode: 0x28 }),
    describeException({ vector: 13, errorCode: 0 }),
    describeException({ vector: 3, errorCode: 0 }),
  ]).toEqual([
    'EPT violation 0x183, gpa 0x5000',
    'EPT misconfiguration, gpa 0x5000',
    'nested page fault 0x100000007, gpa 0x5000',
    'MOV to CR4 of 0x20',
    'hypercall',
    'VMREAD',
    'RDMSR 0x10',
    'WRMSR 0x10 of 0x1',
    'load of IDTR with 0x1000',
    'VMFUNC 0, 1',
    'triple fault',
    '#PF 0x3 (P W)',
    '#PF 0x3 (P W) at 0x1000',
    '#GP(0x28)',
    '#GP(0)',
    'exception 3(0)',
  ]);
});

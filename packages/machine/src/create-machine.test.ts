import type { BackendEvent } from '@heki/hypervisor';
import { createKvm } from '@heki/kvm';
import { createMemoryMap, type Gfn, gfn, type PhysicalMemory, virtualAddress } from '@heki/physical-memory';
import { proveKernelRoot } from '@heki/vmcore';
import { CR4 } from '@heki/x86';
import { describe, expect, test } from 'vitest';
import type { Attack } from './attacks/attack.ts';
import { SNAPSHOT_ATTACKS } from './attacks/attacks.ts';
import { runAttacks } from './attacks/run-attacks.ts';
import { findTargets } from './attacks/targets.ts';
import { notTried } from './attacks/technique.ts';
import { createMachine } from './create-machine.ts';
import { describeTraceEvent } from './describe.ts';
import { MachineError } from './error.ts';
import type { TraceEvent } from './event.ts';
import type { Machine, MachineOptions } from './machine.ts';
import { SMALL_KERNEL, smallKernel } from './testing/small-kernel.ts';
import { type TinyMachine, tinyHypervisor } from './testing/tiny-hypervisor.ts';

const { text, textFrame, data, dataFrame } = SMALL_KERNEL;
const symbols = new Map([
  ['_stext', text],
  ['_sdata', data],
]);

type Changes = Partial<Omit<MachineOptions<TinyMachine, BackendEvent>, 'hypervisor'>>;

function machineOf(changes: Changes = {}) {
  const small = smallKernel();
  const { kernel, memoryMap, registers } = small;
  const hypervisor = tinyHypervisor();
  const machine = createMachine<TinyMachine, BackendEvent>({
    hypervisor,
    kernel,
    memoryMap,
    registers,
    ...changes,
  });
  return { kernel: small, hypervisor, machine, targets: findTargets(kernel, symbols) };
}

/** Takes write from the text and execution from the data, and pins SMEP. */
function protect({ virtualMachine }: Machine<TinyMachine>): void {
  const all = { read: true, write: true, supervisorExecute: true, userExecute: true };
  const range = (frame: Gfn) => ({ start: frame, end: (frame + 512) as Gfn });
  virtualMachine.protect([
    { ...range(textFrame), rights: { ...all, write: false } },
    { ...range(dataFrame), rights: { ...all, supervisorExecute: false } },
  ]);
  virtualMachine.pin({ cr4: CR4.SMEP });
}

/** `outcome by error code`, for each attack. */
function outcomes(changes: Changes, prepare: (machine: Machine<TinyMachine>) => void): string[] {
  const { targets } = machineOf();
  return runAttacks({
    targets,
    createMachine() {
      const { machine } = machineOf(changes);
      prepare(machine);
      return machine;
    },
  }).map(({ name, outcome, by, decisive }) =>
    [name, outcome, by, decisive?.exception?.errorCode]
      .filter((part) => part !== null && part !== undefined)
      .join(' '),
  );
}

/** The words of the page tables, without accessed and dirty flags, which the processor sets. */
function pageTables(memory: PhysicalMemory<Gfn>): number[] {
  return Array.from({ length: 16 }, (_, index) => memory.page(gfn(0x3000 + index))).flatMap((page) =>
    Array.from({ length: 1024 }, (_, word) => (page?.[word] ?? 0) | 0x60),
  );
}

describe('the attacks', () => {
  test('succeed on a kernel that only its own page tables protect, unless those are in the way', () => {
    expect(outcomes({}, () => {})).toEqual([
      'store-text blocked guest-page-tables 3',
      'store-text-direct-map blocked guest-page-tables 3',
      'store-text-after-pte-edit succeeded',
      'execute-data succeeded',
      'clear-smep succeeded',
      'remap-text not-tried',
      'store-data succeeded',
      'ask-for-execution succeeded',
    ]);
  });

  test('meet the second level and the pin, and the legitimate store still works', () => {
    expect(outcomes({}, protect)).toEqual([
      'store-text blocked guest-page-tables 3',
      'store-text-direct-map blocked guest-page-tables 3',
      'store-text-after-pte-edit blocked second-level 3',
      'execute-data blocked second-level 17',
      'clear-smep blocked cr-pin 0',
      'remap-text not-tried',
      'store-data succeeded',
      'ask-for-execution blocked second-level 17',
    ]);
  });

  test('livelock where the page-fault handler retries for ever, as under rfc-v2', () => {
    const endless = [
      'store-text blocked guest-page-tables 3',
      'store-text-direct-map blocked guest-page-tables 3',
      'store-text-after-pte-edit livelock second-level 3',
      'execute-data livelock second-level 17',
      'clear-smep blocked cr-pin 0',
      'remap-text not-tried',
      'store-data succeeded',
      'ask-for-execution livelock second-level 17',
    ];
    expect(outcomes({ profile: 'rfc-v2' }, protect)).toEqual(endless);
    expect(outcomes({ spuriousFaults: 'for-ever' }, protect)).toEqual(endless);
  });

  test('leave page tables and registers as they found them, whatever their outcome', () => {
    for (const prepare of [() => {}, protect]) {
      const { machine, targets, kernel } = machineOf();
      prepare(machine);
      const { cr4 } = machine.vcpu.registers;
      const before = pageTables(machine.memory);
      for (const attack of SNAPSHOT_ATTACKS) {
        machine.attack(attack, targets);
        expect(pageTables(machine.memory)).toEqual(before);
        expect(machine.vcpu.registers.cr4).toBe(cr4);
      }
      expect(kernel.memory.page(textFrame)?.[0]).toBe(0);
    }
  });

  test('are judged by the bytes: a store that completes where nothing keeps it is not a success', () => {
    const kernel = smallKernel();
    const forgetful: PhysicalMemory<Gfn> = {
      page: (frame) => kernel.memory.page(frame),
      writablePage: (frame) => kernel.memory.writablePage(frame),
    };
    const { machine, targets } = machineOf({ kernel: proveKernelRoot({ ...kernel, memory: forgetful }) });
    const attack = SNAPSHOT_ATTACKS.find(({ name }) => name === 'store-data');
    if (attack === undefined) throw new Error('there is a store-data attack');
    const result = machine.attack(
      {
        ...attack,
        run: (attacker, aim) =>
          attack.run({ ...attacker, load: (va) => ({ ...attacker.load(va, 1), value: 0n }) }, aim),
      },
      targets,
    );
    expect(result).toMatchObject({
      outcome: 'blocked',
      by: null,
      reason: 'the store completed and left no trace',
    });
  });

  test('tell the bytes at the target before them, and when they were decided', () => {
    const { machine, targets, kernel } = machineOf();
    const start = kernel.memory.writablePage(textFrame);
    start?.set([0x2413_8d48, 0x25]);
    const bytesOf = (name: string) => {
      const attack = SNAPSHOT_ATTACKS.find((one) => one.name === name);
      const bytes = attack && machine.attack(attack, targets).bytes;
      return (
        bytes && { ...bytes, before: [...bytes.before.slice(0, 4)], after: [...bytes.after.slice(0, 4)] }
      );
    };
    const was = [0x48, 0x8d, 0x13, 0x24];
    expect(bytesOf('store-text')).toEqual({ address: text, access: 'write', before: was, after: was });
    expect(bytesOf('store-text-after-pte-edit')).toMatchObject({
      before: was,
      after: [0x90, ...was.slice(1)],
    });
    expect(bytesOf('execute-data')).toMatchObject({ address: data, access: 'fetch', before: [0, 0, 0, 0] });
    expect(bytesOf('clear-smep')).toBeUndefined();
  });

  test('of a page that is led elsewhere tell what was there before the entry was changed', () => {
    const { machine, targets, kernel } = machineOf();
    kernel.memory.writablePage(textFrame)?.set([0x1111_1111]);
    kernel.memory.writablePage(gfn(textFrame + 512))?.set([0x2222_2222]);
    const other: Attack = {
      name: 'other-text',
      title: 'point the entry of text at constants',
      meaning: 'it is another',
      part: 'text',
      run(attacker) {
        const entry = attacker.findEntries(text)?.at(-1);
        if (entry === undefined) return notTried('no entry');
        attacker.store(entry.address, 8, entry.value + 0x20_0000n);
        attacker.flush(text);
        const { step } = attacker.execute(text);
        return { outcome: 'succeeded', target: text, decisive: step, reason: 'other code' };
      },
    };
    const { bytes } = machine.attack(other, targets);
    expect([bytes?.before[0], bytes?.after[0]]).toEqual([0x11, 0x22]);
  });

  test('say that contents are not in the snapshot, and go by what the processor does', () => {
    const kernel = smallKernel();
    const tablesOnly: PhysicalMemory<Gfn> = {
      page: (frame) => (frame >= 0x3000 ? kernel.memory.page(frame) : undefined),
      writablePage: () => undefined,
    };
    const { machine, targets } = machineOf({ kernel: proveKernelRoot({ ...kernel, memory: tablesOnly }) });
    const results = SNAPSHOT_ATTACKS.map((attack) => machine.attack(attack, targets));
    expect(results.map(({ outcome }) => outcome)).toEqual([
      'blocked',
      'blocked',
      'succeeded',
      'succeeded',
      'succeeded',
      // There is no other text.
      'not-tried',
      'succeeded',
      'succeeded',
    ]);
    expect(results.map(({ bytes }) => bytes)).toEqual(results.map(() => undefined));
    expect(results[2]).toMatchObject({
      decisive: { contentsAbsent: true },
      reason: 'the processor let the store through; the contents are not in the snapshot',
    });
  });

  test('give up where the direct map leads to no page tables, but to nothing at all', () => {
    const { machine } = machineOf();
    const { targets } = machineOf();
    for (const directMap of [
      virtualAddress(0xffff_ffff_ff00_0000n),
      virtualAddress(0xffff_8880_0800_0000n),
    ]) {
      const attack = SNAPSHOT_ATTACKS.find(({ name }) => name === 'execute-data');
      expect(attack && machine.attack(attack, { ...targets, directMap })).toMatchObject({
        outcome: 'not-tried',
        reason: 'the page-table entries cannot be reached through the direct map',
      });
    }
  });

  test('are not tried without a target', () => {
    const { machine } = machineOf();
    const none = {
      directMap: undefined,
      text: undefined,
      textAlias: undefined,
      data: undefined,
      symbols: new Map(),
    };
    const results = SNAPSHOT_ATTACKS.map((attack) => machine.attack(attack, none).outcome);
    expect(results.map((outcome, index) => [SNAPSHOT_ATTACKS[index]?.name, outcome])).toEqual(
      SNAPSHOT_ATTACKS.map(({ name }) => [name, name === 'clear-smep' ? 'succeeded' : 'not-tried']),
    );
  });

  test('get a new machine after one that had the hypervisor change rights', () => {
    const { kernel, memoryMap, registers } = smallKernel();
    let made = 0;
    let protect = (): void => {};
    const ask: Attack = {
      name: 'ask',
      title: 'ask',
      meaning: 'the hypervisor enforces something else afterwards',
      run() {
        protect();
        return notTried('nothing else is of interest');
      },
    };
    runAttacks({
      targets: machineOf().targets,
      attacks: [ask, ask, ...SNAPSHOT_ATTACKS.slice(0, 2)],
      createMachine() {
        made++;
        const machine = createMachine({ hypervisor: createKvm(), kernel, memoryMap, registers });
        const rights = { read: true, write: true, supervisorExecute: false, userExecute: true };
        const end = (dataFrame + 1) as Gfn;
        protect = () => void machine.virtualMachine.protect([{ start: dataFrame, end, rights }]);
        return machine;
      },
    });
    expect(made).toBe(3);
  });

  test('get a new machine after one of them killed the guest', () => {
    const { targets } = machineOf();
    let machines = 0;
    const fatal: Attack = {
      name: 'store-text',
      title: 'kill the virtual CPU',
      meaning: '',
      legitimate: false,
      claim: undefined,
      run(attacker) {
        // Bit 0 of CR4 is VME: a write that this hypervisor exits for and does not know.
        const { step } = attacker.writeCr(4, (attacker.readCr(4).value ?? 0n) | 1n);
        return {
          outcome: step.outcome === 'halted' ? 'crashed' : 'blocked',
          target: undefined,
          decisive: step,
          reason: '',
        };
      },
    };
    const store = SNAPSHOT_ATTACKS.filter(({ name }) => name === 'store-data');
    const results = runAttacks({
      targets,
      attacks: [fatal, ...store],
      createMachine() {
        machines++;
        const { machine } = machineOf();
        machine.virtualMachine.pin({ cr4: CR4.SMEP | 1n });
        return machine;
      },
    });
    expect(results.map(({ outcome }) => outcome)).toEqual(['crashed', 'succeeded']);
    expect(machines).toBe(2);
  });
});

describe('a machine', () => {
  test('gives the virtual CPU the kernel at CPL 0, with the root that it is told', () => {
    const kernel = smallKernel();
    const { machine } = machineOf({
      kernel: kernel.kernel,
      registers: { ...kernel.registers, cr3: 0x1234000n, cpl: 3, rflags: 0x40202n },
    });
    const { cr3, cpl, rflags, codeSegment64 } = machine.vcpu.registers;
    expect({ cr3, cpl, rflags, codeSegment64 }).toEqual({
      cr3: BigInt(kernel.root) * 4096n,
      cpl: 0,
      rflags: 0x202n,
      codeSegment64: true,
    });
  });

  test('refuses registers that walk the tables with another number of levels', () => {
    const registers = { cr4: CR4.PAE | CR4.LA57 };
    expect(() => machineOf({ registers })).toThrow(
      'registers.cr4 is 0x1020, for 5 levels of page tables: expected the 4 of the kernel',
    );
  });

  test('maps nothing for a kernel without tables, whatever CR3 says', () => {
    const { memory, root } = smallKernel();
    const { machine } = machineOf({
      kernel: { memory, root: undefined },
      registers: { cr3: BigInt(root) * 4096n },
    });
    expect(machine.vcpu.registers.cr3).toBe(0x100fff000n);
    machine.heki.hypervisor = { lockCrs: () => 0, protectMemory: () => 0 };
    expect(machine.heki.earlyInit()).toEqual({ outcome: 'counting', leaves: 0, pages: 0 });
    expect(machine.heki.lateInit()).toEqual({ outcome: 'memory-refused', error: -22 });
  });

  test('adds RAM above the memory map, and lets the hypervisor know', () => {
    const { machine } = machineOf();
    expect(machine.addedMemory).toEqual({ start: 0x100000, end: 0x101000 });
    expect(machine.virtualMachine.regions.map(({ start, frames }) => [start, frames])).toEqual([
      [0, 0x4000],
      [0x100000, 0x1000],
    ]);
    expect(machine.memory.page(gfn(0x100000))?.[0]).toBe(0);
    expect(machine.memory.page(gfn(0x101000))).toBeUndefined();
  });

  test('builds page lists in the added RAM and hands them to the driver', () => {
    const lists: number[] = [];
    const log: string[] = [];
    const { machine } = machineOf({
      driver(guest) {
        guest.hypervisor = {
          lockCrs: () => 0,
          protectMemory(list) {
            lists.push(list);
            return 0;
          },
        };
        return true;
      },
      onEvent({ from, event }) {
        if (from === 'guest' && event.type === 'log') log.push(event.text);
      },
    });
    expect(machine.earlyInit()).toEqual({ outcome: 'counting', leaves: 3, pages: 1536 });
    expect(machine.lateInit()).toEqual({ outcome: 'protected' });
    expect(lists).toEqual([0x100000 * 4096]);
    expect(log.at(-1)).toBe('heki-guest: Guest memory protected');
    // npages, then the first entry: the RAM below the text, read and write.
    const page = machine.memory.page(gfn(0x100000));
    expect([page?.[4], page?.[6], page?.[8], page?.[10]]).toEqual([4, 0, 0x1000000, 3]);
  });

  test.each(['rfc-v2', 'hardened'] as const)('runs the driver with its own profile: %s', (profile) => {
    const profiles: unknown[] = [];
    const { machine } = machineOf({
      profile,
      driver(_guest, options) {
        profiles.push(options.profile);
        return false;
      },
    });
    machine.earlyInit();
    expect(profiles).toEqual([profile]);
  });

  test('asks no hypervisor when the kernel is built without Heki', () => {
    let asked = 0;
    const { machine } = machineOf({
      profile: 'rfc-v2',
      kernelConfig: { JUMP_LABEL: true },
      driver() {
        asked++;
        return false;
      },
    });
    expect(machine.earlyInit().outcome).toBe('not-built');
    expect(machine.lateInit().outcome).toBe('not-counting');
    expect(asked).toBe(0);
  });

  test('tells everything in one trace that reads from top to bottom', () => {
    const events: TraceEvent[] = [];
    const { machine, hypervisor, targets } = machineOf({ onEvent: (event) => events.push(event) });
    protect(machine);
    const attack = SNAPSHOT_ATTACKS.find(({ name }) => name === 'store-text-after-pte-edit');
    if (attack === undefined) throw new Error('there is such an attack');
    events.length = 0;
    machine.attack(attack, targets);
    const lines = events.map((event) => describeTraceEvent(hypervisor, event));
    const exits = lines.filter((line) => /violation|#PF|handler/.test(line));
    expect(exits).toEqual([
      'vcpu0    exit: EPT violation at 0x1000000, qualification 0x18a',
      'vcpu0    entry: inject #PF 0x3 (P W)',
      'vcpu0    #PF 0x3 (P W), injected',
      'vcpu0    handler: retry',
      'vcpu0    exit: EPT violation at 0x1000000, qualification 0x18a',
      'vcpu0    entry: inject #PF 0x3 (P W)',
      'vcpu0    #PF 0x3 (P W), injected',
      'vcpu0    handler: fatal',
      'machine  attack store-text-after-pte-edit: blocked: EPT forbids it: violation 0x18a, injected as #PF 0x3 (P W)',
    ]);
    expect(lines[0]).toBe(
      'machine  attack store-text-after-pte-edit: set R/W in the PTE, store to kernel text',
    );
  });

  test('needs RAM', () => {
    const memoryMap = createMemoryMap<Gfn>([{ start: gfn(0), end: gfn(16), type: 'reserved' }]);
    expect(() => machineOf({ memoryMap })).toThrow(MachineError);
  });
});

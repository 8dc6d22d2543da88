import { ATTACK_MACHINES } from '@heki/attacks';
import { type Gpa, readU64, type VirtualAddress, writeU64 } from '@heki/physical-memory';
import { type Access, EntryHigh, EntryLow, translate } from '@heki/x86';
import { expect, test } from 'vitest';
import { choiceOf } from './choice.ts';
import { kernelLife } from './kernel-life.ts';
import { lookAt, timelineOf } from './play.ts';
import { throughBothStages } from './through-both-stages.ts';
import type { WatchedMachine } from './watched-machine.ts';

const SYMBOLS = ['_text', '_etext', '__start_rodata', '__end_rodata', '_end'];
const ACCESSES = (['read', 'write', 'fetch'] as const).flatMap((kind) =>
  (['supervisor', 'user'] as const).map((mode): Access => ({ kind, mode })),
);

/** Two machines that are the same, at a moment: one is walked, the other executes. */
function twins(name: string, part: number): readonly [WatchedMachine, WatchedMachine] {
  const target = ATTACK_MACHINES.find((machine) => machine.name === name) ?? expect.fail(name);
  const life = kernelLife(choiceOf(target), { machine: { memory: '64MiB', ...target.machine }, steps: [] });
  const last = timelineOf(life).events.length - 1;
  const look = (): WatchedMachine => {
    for (let at = Math.floor(last * part); at <= last; at++) {
      const [machine] = lookAt(life, [at], (one) => one);
      if (machine !== undefined && !machine.vcpu.left) return machine;
    }
    return expect.fail('its processor is nowhere in the guest');
  };
  return [look(), look()];
}

const registersOf = ({ vcpu }: WatchedMachine) => {
  const { cr0, cr3, cr4, efer, rflags, pkru, pkrs } = vcpu.registers;
  const { hlat } = vcpu.controls;
  return { cr0, cr3, cr4, efer, rflags, pkru, pkrs, ...(hlat && { hlat }) };
};

/** Has the guest's own tables allow everything there, as somebody does who can store to them. */
function open({ vcpu, memory, ...machine }: WatchedMachine, va: VirtualAddress): void {
  const { steps } = translate(
    registersOf({ vcpu, memory, ...machine }),
    memory,
    va,
    { kind: 'read', mode: 'supervisor' },
    vcpu.processor,
  );
  for (const { address } of steps) {
    const { low, high } = readU64(memory, address as Gpa) ?? expect.fail();
    writeU64(memory, address as Gpa, { low: low | EntryLow.RW | EntryLow.US, high: high & ~EntryHigh.XD });
  }
}

/** Whether the processor completes it. */
function executes({ vcpu }: WatchedMachine, va: VirtualAddress, { kind, mode }: Access): boolean {
  vcpu.invept();
  vcpu.registers.cpl = mode === 'user' ? 3 : 0;
  if (kind === 'read') return vcpu.load(va, 1).kind === 'done';
  return (kind === 'write' ? vcpu.store(va, 1, 0n) : vcpu.fetch(va)).kind === 'done';
}

/** What the page says of it: `undefined` where it says that it does not know. */
function isSaidToGo(machine: WatchedMachine, va: VirtualAddress, access: Access): boolean | undefined {
  const { translation, isCarriedOut, unknown } = throughBothStages(
    machine,
    registersOf(machine),
    va,
    access,
    false,
  );
  if (unknown !== undefined) return undefined;
  return translation.outcome.kind === 'mapped' || isCarriedOut;
}

test.each([
  ['no-heki', 1],
  ['hardened', 1],
  ['hardened-hlat', 0.4],
  ['hardened-hlat', 1],
  ['hardened-gmet', 1],
  ['hyperv', 1],
  ['xen', 1],
])(
  'what an access is said to meet on %s is what it meets on the processor, %d of a boot gone',
  (name, part) => {
    const [walked, other] = twins(name, part);
    const direct = walked.resolve('0xffff888000000000');
    const addresses = [
      ...SYMBOLS.map((symbol) => walked.resolve(symbol)),
      ...[0n, 0x10_0000n, 0x180_0000n, 0x3ff_f000n].map((offset) => (direct + offset) as VirtualAddress),
    ];
    const said: [what: string, goes: boolean | undefined][] = [];
    const met: [what: string, goes: boolean][] = [];
    for (const isOpen of [false, true]) {
      for (const va of addresses) {
        if (isOpen) for (const machine of [walked, other]) open(machine, va);
        for (const access of ACCESSES) {
          const what = `${va.toString(16)} ${access.kind} ${access.mode}${isOpen ? ', opened' : ''}`;
          said.push([what, isSaidToGo(walked, va, access)]);
          met.push([what, executes(other, va, access)]);
        }
      }
    }
    expect(said).toEqual(met);
    expect(new Set(met.map(([, goes]) => goes)).size).toBe(2);
  },
);

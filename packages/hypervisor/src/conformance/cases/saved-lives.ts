import type { Gfn, Gpa, VirtualAddress } from '@heki/physical-memory';
import type { Outcome, Vcpu } from '@heki/vcpu';
import { CR0, CR4, EFER } from '@heki/x86';
import { createKitGuest, type KitGuest, rangeOf, rightsOf, SECOND_REGION } from '../kit-guest.ts';
import { DIRECT_MAP, REGISTERS, USER_MAP } from '../kit-memory.ts';
import { type ConformanceSetup, type LifeStep, require } from '../setup.ts';
import { textOf } from '../text-of.ts';
import { twinOf } from '../twin.ts';
import { watched } from '../watched-register.ts';
import { standsDamage } from './damaged-states.ts';

/** Steps before a life is saved, and after. */
const STEPS = 16;
const CPUS = 2;
/** Damaged states that are offered at the end of a life. */
const DAMAGED_STATES = 3;
/** Frames that lives are about: in leaves that split, and in memory that may come and go. */
const FRAMES = [0x1ff, 0x200, 0x201, 0x300, 0x400, 0x5ff, 0x600, SECOND_REGION.start + 3];
const LETTERS = ['rwxu', 'rwu', 'rxu', 'ru', 'rw', 'r'];

/**
 * A random life that is saved in the middle, put into another machine with the same memory and registers, and goes on in both: every
 * outcome must be the same; nor does a damaged state do harm. Whether it was saved: a backend may refuse to.
 */
export function savedLife(setup: ConformanceSetup, seed: number): boolean {
  const guest = createKitGuest(setup, CPUS);
  const random = createGenerator(seed);
  const before = stepsOf(setup, guest);
  for (let step = 0; step < STEPS; step++) take(before, guest, random());
  // Where a virtual CPU stands still is the VMM's to know (KVM_GET_MP_STATE).
  for (const vcpu of guest.vcpus)
    if (vcpu.halted !== undefined) guest.vm.lifeCycle({ kind: 'init', vcpu: vcpu.id });
  const twin = twinOf(setup, guest);
  if (twin === undefined) return false;
  const state = textOf(guest.vm.save());
  const again = textOf(twin.vm.save());
  require(again === state, `seed ${seed}: saved again, the state is ${again}, expected ${state}`);
  const after = stepsOf(setup, twin);
  const trace: string[] = [];
  for (let step = 0; step < STEPS; step++) {
    const draws = random();
    const [here, there] = [take(before, guest, draws), take(after, twin, draws)];
    trace.push(here);
    require(here ===
      there, `seed ${seed}, step ${step} after it was saved: ${here}; where it was restored: ${there}. Before that: ${trace.slice(-8, -1).join('; ')}`);
  }
  const next = createGenerator(seed);
  standsDamage(twin.vm, (count) => Math.floor((next() / 2 ** 32) * count), DAMAGED_STATES);
  replacesAll(setup, guest, seed);
  return true;
}

/** A state replaces all that a machine has come to: nothing of a life is left under that of a machine where nothing has happened. */
function replacesAll(setup: ConformanceSetup, { vm }: KitGuest, seed: number): void {
  const nothing = createKitGuest(setup, CPUS).vm.save();
  if (nothing === undefined || vm.save() === undefined) return;
  require(vm.restore(nothing), `seed ${seed}: the state of a new machine was not taken`);
  const [is, wanted] = [textOf(vm.save()), textOf(nothing)];
  require(is ===
    wanted, `seed ${seed}: the state of a new machine was restored, and it is ${is}, expected ${wanted}`);
}

/** One step on a random virtual CPU; its outcome. One that stands still takes INIT. */
function take(steps: readonly LifeStep[], guest: KitGuest, seed: number): string {
  const { vm, vcpus } = guest;
  const next = createGenerator(seed);
  const below = (count: number): number => Math.floor((next() / 2 ** 32) * count);
  const vcpu = vcpus[below(vcpus.length)];
  const step = steps[below(steps.length)];
  require(vcpu !== undefined && step !== undefined, 'a life has virtual CPUs and steps');
  const text = `${step.name} on ${vcpu.id}: ${step.run(vcpu, below)}`;
  for (const { halted, id } of vcpus) if (halted !== undefined) vm.lifeCycle({ kind: 'init', vcpu: id });
  guest.bringIntoForce();
  return text;
}

/** Numerical Recipes' generator: enough to be without a pattern, and the same everywhere. */
function createGenerator(seed: number): () => number {
  let state = Math.imul(seed + 1, 2_654_435_761) >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return (state ^ (state >>> 15)) >>> 0;
  };
}

const outcomeText = (outcome: Outcome<unknown>): string =>
  textOf(outcome.kind === 'livelock' ? { kind: outcome.kind } : outcome);

/** What can happen in a life on any backend, and on this one. */
function stepsOf({ hypervisor }: ConformanceSetup, guest: KitGuest): readonly LifeStep[] {
  const { vm, calls, lives } = guest;
  const { pins, immutability, largePages } = hypervisor.capabilities;
  const frame = (below: (count: number) => number): number => FRAMES[below(FRAMES.length)] ?? 0x200;
  const ranges = (below: (count: number) => number) =>
    Array.from({ length: 1 + below(2) }, () => {
      const start = frame(below);
      const length = largePages === 'split-by-caller' ? 1 : 1 + below(0x220);
      const immutable = immutability.kind === 'per-page' && below(6) === 0;
      return rangeOf(start, start + length, rightsOf(LETTERS[below(LETTERS.length)] ?? 'r'), immutable);
    });
  const va = (below: (count: number) => number, map = DIRECT_MAP): VirtualAddress =>
    (map + BigInt(frame(below) * 4096 + 8 * below(512))) as VirtualAddress;
  const registers = pins.registers.map(watched);
  const bits = [CR0.WP, CR0.TS, CR0.AM, CR4.SMEP, CR4.SMAP, CR4.UMIP, CR4.FSGSBASE, CR4.TSD, CR4.PGE];
  const step = (name: string, run: LifeStep['run']): LifeStep => ({ name, run });
  const move = (vcpu: Vcpu, cr: 0 | 4, below: (count: number) => number): bigint => {
    const choice = bits.slice(cr === 0 ? 0 : 3, cr === 0 ? 3 : undefined);
    return vcpu.registers[`cr${cr}`] ^ (choice[below(choice.length)] ?? 0n);
  };
  return [
    step('load', (vcpu, below) => outcomeText(vcpu.load(va(below), 8))),
    step('store', (vcpu, below) => outcomeText(vcpu.store(va(below), 8, BigInt(below(2 ** 30))))),
    step('fetch', (vcpu, below) => outcomeText(vcpu.fetch(va(below), 1))),
    step('user code', (vcpu, below) => {
      const { cpl } = vcpu.registers;
      vcpu.registers.cpl = 3;
      const outcomes = [vcpu.load(va(below, USER_MAP), 8), vcpu.fetch(va(below, USER_MAP), 1)];
      vcpu.registers.cpl = cpl;
      return outcomes.map(outcomeText).join(', ');
    }),
    step('protect', (_vcpu, below) => textOf(vm.protect(ranges(below)))),
    step('pin', (_vcpu, below) =>
      textOf(
        vm.pin({
          cr0: below(2) === 0 ? CR0.WP : 0n,
          cr4: below(2) === 0 ? CR4.SMEP | CR4.UMIP : 0n,
          ...(below(3) === 0 && pins.registers.length > 0
            ? { registers: pins.registers.slice(0, 1 + below(pins.registers.length)) }
            : {}),
        }),
      ),
    ),
    ...([0, 4] as const).map((cr) =>
      step(`mov to cr${cr}`, (vcpu, below) => outcomeText(vcpu.movToCr(cr, move(vcpu, cr, below)))),
    ),
    ...registers.map((register) =>
      step(`load of ${register.name}`, (vcpu, below) => {
        const now = register.read(vcpu);
        return outcomeText(register.write(vcpu, below(3) === 0 ? now : register.other(now)));
      }),
    ),
    step('INIT', (vcpu) => {
      vm.lifeCycle({ kind: 'init', vcpu: vcpu.id });
      return 'done';
    }),
    step('a trampoline', (vcpu) => trampoline(vcpu)),
    step('a trampoline, too', (vcpu) => trampoline(vcpu)),
    step('kexec', (_vcpu, below) => {
      if (below(3) === 0) vm.lifeCycle({ kind: 'kexec' });
      return 'done';
    }),
    step('memory that comes again', () => {
      const { start, frames } = SECOND_REGION;
      vm.removeMemory(start);
      vm.addMemory({ start, frames, backing: guest.backing(start) });
      return 'done';
    }),
    step('another writer', (_vcpu, below) => {
      const writer = (['dma', 'vmm', 'hypervisor'] as const)[below(3)] ?? 'dma';
      return textOf(vm.write(writer, (frame(below) * 4096 + below(4096)) as Gpa, Uint8Array.of(below(256))));
    }),
    step('rights', (_vcpu, below) => {
      const rights = vm.effectiveRights(frame(below) as Gfn);
      return String(rights === undefined);
    }),
    ...(calls === undefined
      ? []
      : [
          step('request', (vcpu, below) => String(calls.request(vcpu, ranges(below)))),
          step('end of boot', (vcpu, below) => String(below(4) === 0 && calls.endOfBoot?.(vcpu))),
          step('pin by the guest', (vcpu, below) =>
            String(below(2) === 0 ? calls.pin?.(vcpu, 0, CR0.WP) : calls.pin?.(vcpu, 4, CR4.SMEP)),
          ),
          step('emulated mov', (vcpu, below) =>
            textOf(calls.emulator?.movToCr(vcpu, 4, move(vcpu, 4, below))),
          ),
          step('a guest inside', (vcpu) => String(calls.nested?.(vcpu))),
        ]),
    ...lives,
  ];
}

/** A processor comes from INIT to the kernel's mode, as its trampoline has it; one that is there writes the same again. */
function trampoline(vcpu: Vcpu): string {
  const { cr0, cr3, cr4, efer } = REGISTERS;
  const outcomes = [
    vcpu.movToCr(4, cr4),
    vcpu.movToCr(3, cr3),
    vcpu.wrmsr(0xc000_0080, efer & ~EFER.LMA),
    vcpu.movToCr(0, cr0),
  ];
  if ((vcpu.registers.cr0 & CR0.PG) !== 0n) vcpu.registers.codeSegment64 = true;
  return outcomes.map(outcomeText).join(', ');
}

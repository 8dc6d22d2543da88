import { deserialize, serialize } from 'node:v8';
import { type ProtectionState, VcpuWaits } from '@heki/hypervisor';
import type { Gfn } from '@heki/physical-memory';
import { AMD_ZEN4, CR0, CR4, EFER } from '@heki/x86';
import { describe, expect, test } from 'vitest';
import { MemslotFlag } from '../memslots/memslot.ts';
import { completeControls } from '../nested/nested-guest.ts';
import { createKvmVmm } from '../policy/kvm-vmm.ts';
import { createGuest, createGuestOn, kernelVa, range, type TestGuest } from '../testing/guest.ts';
import { tablesOfL1 } from '../testing/nested-tables.ts';

type Saver = Pick<TestGuest['vm'], 'save' | 'restore' | 'checkpoint' | 'lifeCycle'>;

/** What a file of it holds. */
function saved(vm: Saver): ProtectionState {
  const state = vm.save();
  if (state === undefined) throw new Error('nothing was saved');
  return deserialize(serialize(state));
}

function logMemory({ vm }: TestGuest): void {
  const { backing = 0, frames = 0 } = vm.slots[0] ?? {};
  const size = BigInt(frames) << 12n;
  const from = BigInt(backing) << 12n;
  const region = { slot: 0, guestPhysicalAddress: 0n, memorySize: size, userspaceAddress: from };
  expect(vm.ioctls.setUserMemoryRegion({ ...region, flags: MemslotFlag.LOG_DIRTY_PAGES })).toBe(0);
}

test('a virtual CPU that took INIT may start where the state is restored, made before or after it', () => {
  const guest = createGuest();
  guest.hypercall(13, 0, CR0.WP);
  guest.hypercall(13, 4, CR4.SMEP);
  guest.addCpu();
  guest.vm.lifeCycle({ kind: 'init', vcpu: 1 });
  const state = saved(guest.vm);
  expect(state.vcpus).toEqual([{ vcpu: 1, starting: ['cr0', 'cr4'] }]);
  for (const early of [true, false]) {
    const other = createGuest();
    const made = early ? other.addCpu({ registers: {} }) : undefined;
    expect(other.vm.restore(state)).toBe(true);
    const cpu = made ?? other.addCpu({ registers: {} });
    expect(cpu.movToCr(4, CR4.PAE)).toMatchObject({ kind: 'done' });
    expect(cpu.movToCr(0, CR0.PE)).toMatchObject({ kind: 'done' });
    expect(cpu.wrmsr(0xc000_0080, EFER.LME)).toMatchObject({ kind: 'done' });
    expect(cpu.movToCr(0, CR0.PE | CR0.PG)).toMatchObject({ vector: 13 });
    expect(cpu.movToCr(0, CR0.PE | CR0.PG | CR0.WP)).toMatchObject({ kind: 'done' });
    expect(other.cpu.movToCr(0, CR0.PE)).toMatchObject({ vector: 13 });
    expect(other.cpu.movToCr(4, CR4.PAE)).toMatchObject({ vector: 13 });
  }
});

test('a machine without an INIT binds every virtual CPU where it is restored', () => {
  const other = createGuest();
  other.vm.lifeCycle({ kind: 'init', vcpu: 0 });
  const guest = createGuest();
  guest.hypercall(13, 4, CR4.SMEP);
  other.vm.restore(saved(guest.vm));
  expect(other.cpu.movToCr(4, CR4.PAE)).toMatchObject({ vector: 13 });
});

test('a dirty log goes on where it is restored, and is switched on there', () => {
  const guest = createGuest();
  logMemory(guest);
  for (const gfn of [0x210, 0x205]) guest.cpu.store(kernelVa(gfn * 4096), 8, 1n);
  const other = createGuest();
  other.vm.restore(saved(guest.vm));
  expect(other.vm.ioctls.getDirtyLog(0)).toEqual([0x40, 0x41, 0x205, 0x210]);
  other.cpu.store(kernelVa(0x21_1000), 8, 1n);
  expect(other.vm.ioctls.getDirtyLog(0)).toContain(0x211);
  // A state that `save` did not make has no logs.
  other.cpu.store(kernelVa(0x21_2000), 8, 1n);
  const { own: _, ...plain } = saved(guest.vm);
  other.vm.restore(plain);
  expect(other.vm.ioctls.getDirtyLog(0)).toContain(0x212);
});

test('an L2 goes on where it is restored, and L1 gets back what it had', () => {
  const guest = createGuest();
  const { cr4 } = guest.cpu.registers;
  const setup = { controls: { cr4Mask: CR4.UMIP, cr4Shadow: 0n, writeExitingMsrs: new Set([0x174]) } };
  expect(guest.vm.enterNested(guest.cpu, tablesOfL1(guest), setup)).toBe(true);
  guest.cpu.movToCr(4, cr4 & ~(CR4.SMEP | CR4.UMIP));
  const other = createGuest();
  tablesOfL1(other);
  Object.assign(other.cpu.registers, { cr4: guest.cpu.registers.cr4 });
  expect(other.vm.restore(saved(guest.vm))).toBe(true);
  expect(other.cpu.movFromCr(4)).toMatchObject({ value: cr4 & ~(CR4.SMEP | CR4.UMIP) });
  expect(other.cpu.wrmsr(0x174, 1n)).toMatchObject({ kind: 'stopped' });
  other.vm.leaveNested(other.cpu);
  expect(other.cpu.registers.cr4).toBe(cr4);
});

test('on AMD INIT is what L1 intercepts where it is restored, too', () => {
  const intercepts = { cr0Write: false, cr0Selective: false, cr4Write: false };
  for (const svm of [{ ...intercepts, init: true }, intercepts]) {
    const guest = createGuest({ processor: AMD_ZEN4 });
    guest.vm.enterNested(guest.cpu, tablesOfL1(guest), { controls: { svm } });
    const other = createGuest({ processor: AMD_ZEN4 });
    tablesOfL1(other);
    other.vm.restore(saved(guest.vm));
    other.vm.lifeCycle({ kind: 'init', vcpu: 0 });
    expect(other.of('nested-exit')).toHaveLength('init' in svm ? 1 : 0);
    expect(other.cpu.halted !== undefined).toBe('init' in svm);
  }
});

describe('while something is half done', () => {
  /** What happens to `vm` at each moment of a request. */
  function during<Result>(make: typeof createGuest, act: (vm: Saver) => Result) {
    const results: (Result | 'waits')[] = [];
    let busy = false;
    const guest = make({
      onYield() {
        if (busy) return;
        busy = true;
        try {
          results.push(act(guest.vm));
        } catch (stop) {
          if (!(stop instanceof VcpuWaits)) throw stop;
          results.push('waits');
        } finally {
          busy = false;
        }
      },
    });
    guest.protect([range(0x200, 0x201, 1), range(0x300, 0x301, 1 | 8)]);
    return { guest, results };
  }
  const byVmm: typeof createGuest = (options = {}) => createGuestOn(createKvmVmm(), options) as TestGuest;

  test.each([createGuest, byVmm])('no state is saved, and a checkpoint is none (%#)', (make) => {
    const { guest, results } = during(make, ({ save, checkpoint }) => {
      return [save(), checkpoint?.()];
    });
    expect(results.length).toBeGreaterThan(3);
    expect(new Set(results.flat())).toEqual(new Set([undefined]));
    expect(guest.vm.save()?.ranges).toHaveLength(2);
  });

  test.each([createGuest, byVmm])('what replaces everything waits, and has changed nothing (%#)', (make) => {
    const state = saved(make().vm);
    const { guest, results } = during(make, (vm) => vm.restore(state));
    expect(new Set(results)).toEqual(new Set(['waits']));
    expect(guest.vm.save()?.ranges).toHaveLength(2);
    expect(guest.vm.restore(state)).toBe(true);
    expect(guest.vm.save()?.ranges).toEqual([]);
  });

  test('a reset that takes everything back waits as well', () => {
    const { results } = during(createGuest, (vm) => vm.lifeCycle({ kind: 'reset' }));
    expect(new Set(results)).toEqual(new Set(['waits']));
  });
});

test('an L2 that a state has keeps its registers where another one ran, and one that no state has is left', () => {
  const guest = createGuest();
  const { cr4 } = guest.cpu.registers;
  const state = saved(guest.vm);
  guest.vm.enterNested(guest.cpu, tablesOfL1(guest));
  guest.cpu.movToCr(4, cr4 & ~CR4.SMEP);
  guest.vm.restore(saved(guest.vm));
  expect(guest.cpu.registers.cr4).toBe(cr4 & ~CR4.SMEP);
  guest.vm.restore(state);
  expect(guest.cpu.registers.cr4).toBe(cr4);
  Object.assign(guest.cpu.registers, { rax: 1n });
  expect(guest.cpu.vmcall()).toMatchObject({ kind: 'done' });
});

test('private frames and enabled exits are carried over, too', () => {
  const guest = createGuest({ privateMemory: true });
  const request = { address: 0x20_0000n, size: 0x10_0000n, attributes: 8n, flags: 0n };
  expect(guest.vm.ioctls.setMemoryAttributes(request)).toBe(0);
  guest.protect([range(0x210, 0x220, 1)]);
  const other = createGuest({ privateMemory: true });
  other.vm.restore(saved(guest.vm));
  expect([0x200, 0x210, 0x2ff, 0x300].map((gfn) => other.vm.attributes.get(gfn as Gfn) & 8)).toEqual([
    8, 8, 8, 0,
  ]);
  expect(other.vm.save()).toEqual(guest.vm.save());
  expect(() => createGuest().vm.restore(saved(guest.vm))).toThrow('no private memory in this VM');
});

test("attributes that the VMM has set past the owner's table stay so", () => {
  const hypervisor = createKvmVmm();
  const guest = createGuestOn(hypervisor);
  guest.protect([range(0x200, 0x210, 1 | 8)]);
  guest.vm.ioctls.setMemoryAttributes({ address: 0x20_8000n, size: 0x10_0000n, attributes: 0n, flags: 0n });
  const other = createGuestOn(hypervisor);
  other.vm.restore(saved(guest.vm));
  for (const { vm, cpu } of [guest, other]) {
    expect(cpu.store(kernelVa(0x20_0000), 8, 1n)).toMatchObject({ vector: 14 });
    expect(cpu.store(kernelVa(0x20_8000), 8, 1n)).toMatchObject({ kind: 'done' });
    expect(vm.save()?.ranges).toMatchObject([{ start: 0x200, end: 0x210, immutable: true }]);
  }
  const own = { backend: 'kvm-vmm', attributes: [{ start: 1, end: 2, attributes: 1 << 9 }] };
  expect(() => other.vm.restore({ ...saved(guest.vm), own })).toThrow('own.attributes[0].attributes: 512');
});

describe("what is wrong with KVM's own part of a state is said, and nothing has changed", () => {
  const nested = (guest: TestGuest, part: object) => {
    const { cr0, cr3, cr4, efer } = guest.cpu.registers;
    const controls = (saved(guest.vm).own as { nested?: { controls: object }[] }).nested?.[0]?.controls;
    const host = { cr0, cr3, cr4, efer };
    return { nested: [{ vcpu: 0, pointer: tablesOfL1(guest), controls, host, ...part }] };
  };
  test.each<[string, (guest: TestGuest) => object, string]>([
    ['a slot that is not there', () => ({ dirty: [{ slot: 9, frames: [] }] }), 'own.dirty[0].slot: 9'],
    [
      'a frame that the slot has not',
      () => ({ dirty: [{ slot: 0, frames: [0x4000] }] }),
      'own.dirty[0].frames[0]: 16384',
    ],
    [
      'exits that do not exist',
      () => ({ exitReasons: { configure: 4, denial: 0 } }),
      'own.exitReasons.configure: 4',
    ],
    ['no exits', () => ({ exitReasons: null }), 'own.exitReasons.configure: undefined'],
    ['private frames', () => ({ privateFrames: [{ start: 1, end: 2 }] }), 'own.privateFrames[0]'],
    ['a virtual CPU that is not there', (guest) => nested(guest, { vcpu: 5 }), 'own.nested[0].vcpu: 5'],
    ['an EPTP that cannot be', (guest) => nested(guest, { pointer: 7n }), 'own.nested[0].pointer: 0x7'],
    ['no controls', (guest) => nested(guest, { controls: undefined }), 'own.nested[0].controls.cr0Mask'],
    ['no host registers', (guest) => nested(guest, { host: undefined }), 'own.nested[0].host.cr0'],
    [
      'host registers without paging',
      (guest) => nested(guest, { host: { cr0: 1n, cr3: 0n, cr4: 0n, efer: 0n } }),
      'own.nested[0].host',
    ],
    ...(
      [
        ['a root above all memory', { cr3: 1n << 60n }, 'own.nested[0].host: '],
        ['a root that is to be kept', { cr3: 1n << 63n, cr4: CR4.PAE | CR4.PCIDE }, 'own.nested[0].host: '],
        ['EFER with a reserved bit', { efer: 0x2d01n }, 'own.nested[0].host: '],
        ['long mode that is not enabled', { efer: EFER.LMA }, 'own.nested[0].host: '],
        ['registers of 65 bits', { cr3: 1n << 64n }, 'own.nested[0].host.cr3: 0x1'],
        ['negative registers', { cr0: -1n }, 'own.nested[0].host.cr0: -0x1'],
      ] as const
    ).map(([what, register, message]): [string, (guest: TestGuest) => object, string] => [
      what,
      (guest) => {
        const { cr0, cr3, cr4, efer } = guest.cpu.registers;
        return nested(guest, { host: { cr0, cr3, cr4, efer, ...register } });
      },
      message,
    ]),
    ...(
      [
        ['cr4Mask', -1n],
        ['cr0Shadow', 1n << 64n],
        ['writeExitingMsrs', new Set([-1])],
        ['readExitingMsrs', new Set([2 ** 32])],
        ['cr3LoadExiting', 1],
        ['svm', { cr0Write: true, cr0Selective: true }],
      ] as const
    ).map(([name, value]): [string, (guest: TestGuest) => object, string] => [
      `${name} that cannot be`,
      (guest) => {
        const controls = { ...completeControls({}), [name]: value };
        return nested(guest, { controls });
      },
      `own.nested[0].controls.${name}`,
    ]),
  ])('%s', (_what, part, message) => {
    const guest = createGuest();
    logMemory(guest);
    guest.vm.enterNested(guest.cpu, tablesOfL1(guest));
    const state = saved(guest.vm);
    const own = { ...state.own, ...part(guest) } as NonNullable<ProtectionState['own']>;
    expect(() => guest.vm.restore({ ...state, own })).toThrow(message);
    expect(guest.vm.save()).toEqual(state);
  });

  test('rights that this host cannot enforce', () => {
    const guest = createGuest();
    guest.protect([range(0x200, 0x201, 3)]);
    const other = createGuest({ mbec: false });
    const before = other.vm.save();
    expect(() => other.vm.restore(saved(guest.vm))).toThrow('ranges[0].rights');
    expect(other.vm.save()).toEqual(before);
    expect(() => other.vm.restore({ ...saved(other.vm), bootEnded: true })).toThrow('bootEnded');
  });
});

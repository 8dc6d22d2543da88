import { createHyperv } from '@heki/hyperv';
import type { BackendEvent, Hypervisor, VirtualMachine } from '@heki/hypervisor';
import { createKvm, createKvmVmm, createKvmVtl, type DenialAnswer } from '@heki/kvm';
import { initHekiOnHyperv, initHekiOnKvm, initHekiOnLvbs, initHekiOnXen } from '@heki/paravirt';
import {
  createMemoryMap,
  type Gfn,
  type Gpa,
  gfn,
  type PhysicalMemory,
  readU64,
  type U64,
  type VirtualAddress,
  virtualAddress,
  writeU64,
} from '@heki/physical-memory';
import type { Profile } from '@heki/series';
import { Vector } from '@heki/vcpu';
import { AMD_ZEN4, CR4, EFER, EntryLow } from '@heki/x86';
import { createXen } from '@heki/xen';
import { describe, expect, test } from 'vitest';
import { createMachine } from '../create-machine.ts';
import type { HekiDriver, Machine } from '../machine.ts';
import { SMALL_KERNEL, smallKernel } from '../testing/small-kernel.ts';
import type { Attack } from './attack.ts';
import type { AttackResult } from './attack-result.ts';
import { ATTACKS } from './attacks.ts';
import { switchHekiOff } from './switch-heki-off.ts';
import { findTargets, type KernelTargets } from './targets.ts';
import { judge } from './technique.ts';
import { defenceOf } from './verdict.ts';

interface Backend {
  readonly create: () => Hypervisor<VirtualMachine, BackendEvent>;
  readonly driver: HekiDriver;
  readonly profile?: Profile;
}

const BACKENDS: Readonly<Record<string, Backend>> = {
  kvm: { create: createKvm, driver: initHekiOnKvm },
  'kvm, rfc-v2': { create: () => createKvm({ profile: 'rfc-v2' }), driver: initHekiOnKvm, profile: 'rfc-v2' },
  'kvm on AMD': { create: () => createKvm({ processor: AMD_ZEN4 }), driver: initHekiOnKvm },
  'kvm-vmm': { create: createKvmVmm, driver: initHekiOnKvm },
  'kvm-vtl': { create: createKvmVtl, driver: initHekiOnKvm },
  hyperv: { create: createHyperv, driver: initHekiOnHyperv },
  'hyperv-lvbs': { create: createHyperv, driver: initHekiOnLvbs },
  xen: { create: createXen, driver: initHekiOnXen },
};
const NAMES = Object.keys(BACKENDS);

const { text, textFrame, data } = SMALL_KERNEL;
const symbols = new Map([
  ['_stext', text],
  ['_sdata', data],
]);

interface Settings {
  readonly heki?: boolean;
  readonly registers?: Partial<ReturnType<typeof smallKernel>['registers']>;
  /** Changes what the kernel's memory holds. */
  readonly prepare?: (kernel: ReturnType<typeof smallKernel>) => void;
  /** End of the RAM that the machine has, below that of the kernel's tables. */
  readonly ram?: readonly { readonly start: number; readonly end: number }[];
  readonly targets?: Partial<KernelTargets>;
}

function machineOn({ create, driver, profile = 'hardened' }: Backend, settings: Settings = {}) {
  const kernel = smallKernel();
  settings.prepare?.(kernel);
  const { ram } = settings;
  const machine: Machine = createMachine({
    hypervisor: create(),
    driver,
    profile,
    heki: settings.heki ?? true,
    kernel: kernel.kernel,
    memoryMap:
      ram === undefined
        ? kernel.memoryMap
        : createMemoryMap(ram.map(({ start, end }) => ({ start: gfn(start), end: gfn(end), type: 'ram' }))),
    registers: { ...kernel.registers, ...settings.registers },
  });
  machine.earlyInit();
  machine.lateInit();
  const targets = { ...findTargets(kernel.kernel, symbols), ...settings.targets };
  return { kernel, machine, attack: (attack: Attack) => machine.attack(attack, targets) };
}

function named(name: AttackResult['name']): Attack {
  const attack = ATTACKS.find((one) => one.name === name);
  if (attack === undefined) throw new Error(`there is no attack ${name}`);
  return attack;
}

/** An attack that moves a value to CR4 that it makes from the old one. */
const moveToCr4 = (change: (cr4: bigint) => bigint): Attack => ({
  ...named('clear-smep'),
  run(attacker) {
    const { step } = attacker.writeCr(4, change(attacker.readCr(4).value ?? 0n));
    return judge(step, undefined, 'CR4 was written');
  },
});

/** A bit of CR4 that no processor has. */
const UNDEFINED_BIT = 1n << 26n;

describe.each(NAMES)('on %s', (name) => {
  const backend = BACKENDS[name] as Backend;

  test('a #GP by a rule of the processor is not a pin, with Heki and without', () => {
    for (const heki of [false, true]) {
      const { attack } = machineOn(backend, { heki });
      // The one bit that no backend pins and these processors do not have.
      expect(attack(moveToCr4((cr4) => cr4 | CR4.VMXE))).toMatchObject({
        outcome: 'blocked',
        by: 'processor',
        reason: 'the processor forbids it: #GP(0): CR4 bits 0x2000 are reserved on this processor',
      });
    }
    const { attack } = machineOn(backend, { heki: false });
    const both = attack(moveToCr4((cr4) => (cr4 & ~CR4.SMEP) | UNDEFINED_BIT));
    expect(both).toMatchObject({ outcome: 'blocked', by: 'processor' });
    expect(both.reason).toContain('CR4 bits 0x4000000 are reserved on this processor');
  });

  test('clearing a pinned SMEP is stopped by the pin, and by nothing without Heki', () => {
    expect(machineOn(backend, { heki: false }).attack(named('clear-smep'))).toMatchObject({
      outcome: 'succeeded',
      by: null,
    });
    expect(machineOn(backend).attack(named('clear-smep'))).toMatchObject({
      outcome: 'blocked',
      by: 'cr-pin',
      reason: 'the pin of CR4 forbids it: #GP(0)',
    });
  });

  test('a store to text whose PTE was opened is stopped by the second level', () => {
    const result = machineOn(backend).attack(named('store-text-after-pte-edit'));
    expect(['blocked', 'livelock']).toContain(result.outcome);
    expect(result.by).toBe('second-level');
    expect(result.decisive?.denial).toMatchObject({ kind: 'memory', gpa: textFrame * 4096, access: 'write' });
  });

  test.each<[what: string, attack: Attack, settings: Settings, reason: string]>([
    [
      'no SMEP to clear',
      named('clear-smep'),
      { registers: { cr4: CR4.PAE | CR4.PGE } },
      'CR4.SMEP is not set: there is nothing to clear',
    ],
    [
      'no NX to clear',
      named('execute-data'),
      { registers: { efer: EFER.LME | EFER.LMA | EFER.SCE }, prepare: clearExecuteDisable },
      'EFER.NXE is clear',
    ],
    [
      'no text',
      named('store-text'),
      { targets: { text: undefined } },
      'no executable page of the kernel image was found',
    ],
    [
      'nothing mapped where text is said to be',
      named('store-text'),
      { targets: { text: virtualAddress(0xffff_ffff_9000_0000n) } },
      'nothing is mapped there: #PF 0x2 (W)',
    ],
    [
      'nothing mapped where data is said to be',
      named('store-data'),
      { targets: { data: virtualAddress(0xffff_ffff_9000_0000n) } },
      'nothing is mapped there: #PF 0x2 (W)',
    ],
    [
      'no page tables of it',
      named('execute-data'),
      { targets: { data: virtualAddress(0xffff_ffff_9000_0000n) } },
      'the page-table entries cannot be reached through the direct map',
    ],
    [
      'no memory where data is mapped',
      named('store-data'),
      {
        ram: [
          { start: 0, end: 0x1400 },
          { start: 0x3000, end: 0x4000 },
        ],
      },
      'the memory map has no memory there',
    ],
    [
      'no memory where the code to run is mapped',
      named('execute-data'),
      {
        ram: [
          { start: 0, end: 0x1400 },
          { start: 0x3000, end: 0x4000 },
        ],
      },
      'the memory map has no memory there',
    ],
    [
      'a protection that was never on',
      switchHekiOff,
      { targets: { symbols: new Map([['heki', data]]) } },
      'heki.protect_memory is 0: Heki protects nothing that could be switched off',
    ],
  ])('what has %s is not tried, with Heki and without', (_what, attack, settings, reason) => {
    for (const heki of [false, true]) {
      const result = machineOn(backend, { ...settings, heki }).attack(attack);
      expect(result).toMatchObject({ outcome: 'not-tried', by: null });
      expect(result.reason).toContain(reason);
    }
  });

  test("SMEP and SMAP are the processor's, reserved bits too, and R/W the page tables'", () => {
    const { attack } = machineOn(backend, {
      heki: false,
      registers: { cr4: CR4.PAE | CR4.PGE | CR4.SMEP | CR4.SMAP },
      prepare: ({ memory, root }) =>
        editLeaf(memory, root, data, ({ low, high }) => ({ low: low | EntryLow.US, high })),
    });
    expect(attack(named('execute-data'))).toMatchObject({
      outcome: 'blocked',
      by: 'processor',
      reason: 'the processor forbids it: #PF 0x11 (P ID): SMEP: supervisor fetch from a user page',
    });
    expect(attack(named('store-data'))).toMatchObject({
      by: 'processor',
      reason: 'the processor forbids it: #PF 0x3 (P W): SMAP: supervisor access to a user page',
    });
    expect(attack(named('store-text'))).toMatchObject({
      by: 'guest-page-tables',
      reason: "the guest's page tables forbid it: #PF 0x3 (P W)",
    });
    const reserved = machineOn(backend, {
      heki: false,
      // Bit 51 of the address is above what any of these processors has.
      prepare: ({ memory, root }) =>
        editLeaf(memory, root, text, ({ low, high }) => ({ low, high: high | (1 << 19) })),
    });
    const broken = reserved.attack(named('store-text'));
    expect(broken).toMatchObject({ outcome: 'blocked', by: 'processor' });
    expect(broken.reason).toContain('#PF 0xb (P W RSVD): reserved bit 51');
  });
});

test('a #GP by LASS or for a non-canonical address is the processor, which says which', () => {
  const at = (va: bigint, cr4: bigint) =>
    machineOn(BACKENDS.kvm as Backend, {
      heki: false,
      registers: { cr4: CR4.PAE | CR4.PGE | CR4.SMEP | CR4.SMAP | cr4 },
      targets: { text: virtualAddress(va) },
    }).attack(named('store-text'));
  expect(at(0x40_0000n, CR4.LASS)).toMatchObject({
    outcome: 'blocked',
    by: 'processor',
    reason: 'the processor forbids it: #GP(0): LASS: supervisor access to a user address',
  });
  expect(at(0x8000_0000_0000_0000n, 0n)).toMatchObject({
    by: 'processor',
    reason: 'the processor forbids it: #GP(0): the address is not canonical',
  });
});

describe('what an owner of the policy answers', () => {
  const answering = (answer: DenialAnswer): Backend => ({
    create: () => createKvmVmm({ policy: { denied: () => answer } }),
    driver: initHekiOnKvm,
  });

  test('is the second level or the pin, though the guest only sees an instruction without effect', () => {
    const { attack } = machineOn(answering('skip'));
    const reason = 'the rights in the second level forbid it: the hypervisor leaves the access out';
    expect(attack(named('store-text-after-pte-edit'))).toMatchObject({
      outcome: 'blocked',
      by: 'second-level',
      reason,
    });
    expect(attack(named('execute-data'))).toMatchObject({ outcome: 'blocked', by: 'second-level', reason });
    expect(attack(named('clear-smep'))).toMatchObject({
      outcome: 'blocked',
      by: 'cr-pin',
      reason: 'the pin of CR4 forbids it: the hypervisor leaves the write out',
    });
  });

  test('may end the machine', () => {
    const { attack } = machineOn(answering('stop'));
    expect(attack(named('store-text-after-pte-edit'))).toMatchObject({
      outcome: 'crashed',
      by: 'second-level',
      reason:
        'the hypervisor stops the machine: the owner of the policy ended the machine after a denied access',
    });
  });

  test('may leave the guest where it is', () => {
    expect(machineOn(answering('retry')).attack(named('execute-data'))).toMatchObject({
      outcome: 'livelock',
      by: 'second-level',
    });
  });

  test.each(['skip', 'allow-once'] as const)('Xen, whose monitor answers with %s', (verdict) => {
    const { attack } = machineOn({
      create: () => createXen({ memoryVerdict: verdict, registerVerdict: verdict }),
      driver: initHekiOnXen,
    });
    const denied = verdict === 'skip';
    expect(attack(named('store-text-after-pte-edit'))).toMatchObject(
      denied ? { outcome: 'blocked', by: 'second-level' } : { outcome: 'succeeded', by: null },
    );
    expect(attack(named('clear-smep'))).toMatchObject(
      denied ? { outcome: 'blocked', by: 'cr-pin' } : { outcome: 'succeeded', by: null },
    );
  });
});

test('an EPT violation that the processor delivers as #VE is the second level, though no exit comes of it', () => {
  const { attack } = machineOn(BACKENDS.kvm as Backend, { heki: false });
  const { decisive } = attack(named('store-text'));
  if (decisive === undefined) throw new Error('the store was tried');
  expect(defenceOf(decisive)).toBe('guest-page-tables');
  const exception = { vector: Vector.VE, errorCode: 0 };
  expect(defenceOf({ ...decisive, exception, broken: undefined })).toBe('second-level');
});

function clearExecuteDisable({ memory }: ReturnType<typeof smallKernel>): void {
  for (let frame = 0x3000; frame < 0x3010; frame++) {
    const page = memory.writablePage(gfn(frame));
    if (page === undefined) continue;
    for (let word = 1; word < page.length; word += 2) page[word] = (page[word] ?? 0) & 0x7fff_ffff;
  }
}

/** Changes the entry of level 2 that maps `va` in the small kernel. */
function editLeaf(
  memory: PhysicalMemory<Gfn>,
  root: Gfn,
  va: VirtualAddress,
  change: (entry: U64) => U64,
): void {
  let table: number = root;
  for (const level of [4, 3, 2]) {
    const index = Number((va >> BigInt(3 + 9 * level)) & 511n);
    const address = (table * 4096 + index * 8) as Gpa;
    const entry = readU64(memory, address);
    if (entry === undefined) throw new Error('the small kernel has all its tables');
    if (level === 2) writeU64(memory, address, change(entry));
    table = Math.floor(entry.low / 4096) + (entry.high % 2 ** 20) * 2 ** 20;
  }
}

import { KvmHypercall } from '@heki/hypercall/kvm';
import type { Denial, ProtectionRange, Rights } from '@heki/hypervisor';
import type { Gfn } from '@heki/physical-memory';
import { CR0, CR4 } from '@heki/x86';
import { describe, expect, test } from 'vitest';
import { createGuestOn, kernelVa, range, type TestGuest } from '../testing/guest.ts';
import { createKvmVmm } from './kvm-vmm.ts';
import { createKvmVtl, type KvmVtlMachine } from './kvm-vtl.ts';
import type { HekiPolicy } from './policy.ts';
import type { KvmPolicyMachine } from './policy-machine.ts';

const R = 1;
const RW = 3;
const RX = 5;
const IMMUTABLE = 8;
const EPERM = -1;
const NOTHING: Rights = { read: false, write: false, supervisorExecute: false, userExecute: false };

const create = (policy: HekiPolicy<KvmPolicyMachine> = {}): TestGuest<KvmVtlMachine> =>
  createGuestOn(createKvmVtl({ policy }));

const frame = (rights: Rights): ProtectionRange => ({ start: 0x200 as Gfn, end: 0x201 as Gfn, rights });

/** VTL1's half of virtual CPU `index`, in the guest's address space. */
function upper(guest: TestGuest<KvmVtlMachine>, index = 0) {
  const vcpu = guest.vm.vtl1.vcpus[index];
  if (vcpu === undefined) throw new Error(`no half ${index} in VTL1`);
  vcpu.registers.cr3 = guest.cpu.registers.cr3;
  return vcpu;
}

describe('a request of VTL0', () => {
  test('is decided in VTL1, whose changes come back as hypercalls of its own', () => {
    const guest = create();
    expect(guest.protect([range(0x200, 0x201, R), range(0x300, 0x400, RX)])).toBe(0);
    const housekeeping = ['ept-violation', 'mapped', 'zapped', 'flushed', 'list-page'];
    expect(guest.events.map(({ type }) => type).filter((type) => !housekeeping.includes(type))).toEqual([
      'user-exit',
      'vtl-switch',
      'attributes-set',
      'attributes-set',
      'protected',
      'vtl-switch',
      'hypercall',
    ]);
    const { statistics, vtl1 } = guest.vm;
    expect(statistics).toMatchObject({ userExits: 1, attributeCalls: 2 });
    // Two changes of attributes and the return.
    expect(vtl1.statistics).toMatchObject({ exits: 3, userExits: 3 });
    expect(vtl1.switches).toBe(2);
    expect(guest.of('protected')).toMatchObject([{ by: 'guest', result: { applied: 2 } }]);
  });

  test('goes to the other half of the virtual CPU that made it', () => {
    const guest = create();
    const second = guest.addCpu();
    Object.assign(second.registers, { rax: 13n, rbx: 4n, rcx: CR4.SMEP, rdx: 0n });
    second.vmcall();
    expect(second.registers.rax).toBe(0n);
    expect(guest.of('vtl-switch')).toEqual([
      { type: 'vtl-switch', vcpu: 1, to: 1 },
      { type: 'vtl-switch', vcpu: 1, to: 0 },
    ]);
    expect(guest.vm.vtl1.vcpus).toHaveLength(2);
    expect(guest.vm.pins.cr4).toBe(CR4.SMEP);
  });

  test('takes an exit for each range more than where the VMM decides by itself', () => {
    const ranges = Array.from({ length: 100 }, (_, i) => range(0x200 + 2 * i, 0x201 + 2 * i, R));
    const vtl = create();
    const vmm = createGuestOn(createKvmVmm());
    vtl.protect(ranges);
    vmm.protect(ranges);
    expect(vmm.vm.statistics).toMatchObject({ userExits: 1, attributeCalls: 100 });
    expect(vtl.vm.statistics).toMatchObject({ userExits: 1, attributeCalls: 100 });
    expect(vtl.vm.vtl1.statistics.userExits).toBe(101);
  });

  test('is refused by VTL1, and then nothing but the way there and back happened', () => {
    const guest = create({ protect: () => 'refuse' });
    expect(guest.protect([range(0x200, 0x201, R)])).toBe(EPERM);
    expect(guest.vm.statistics.attributeCalls).toBe(0);
    expect(guest.vm.vtl1.statistics.exits).toBe(1);
  });

  test('comes no more after the end of boot', () => {
    const guest = create();
    expect(guest.hypercall(KvmHypercall.HEKI_END_OF_BOOT)).toBe(0);
    expect(guest.protect([range(0x200, 0x201, R)])).toBe(EPERM);
  });
});

describe('VTL1', () => {
  test('has all rights to memory of which VTL0 has none', () => {
    const guest = create();
    guest.cpu.store(kernelVa(0x20_0000), 8, 0x1234n);
    guest.vm.protect([frame(NOTHING)]);
    expect(guest.cpu.load(kernelVa(0x20_0000), 8).kind).toBe('exception');
    expect(guest.vm.effectiveRights(0x200 as Gfn)).toMatchObject(NOTHING);
    expect(guest.vm.vtl1.effectiveRights(0x200 as Gfn)).toMatchObject({ read: true, write: true });
    const vcpu = upper(guest);
    expect(vcpu.load(kernelVa(0x20_0000), 8)).toMatchObject({ value: 0x1234n });
    expect(vcpu.store(kernelVa(0x20_0000), 8, 0x5678n).kind).toBe('done');
    expect(guest.cpu.load(kernelVa(0x20_0000), 8).kind).toBe('exception');
    guest.vm.protect([frame({ ...NOTHING, read: true })]);
    expect(guest.cpu.load(kernelVa(0x20_0000), 8)).toMatchObject({ value: 0x5678n });
  });

  test('sees memory come and go as VTL0 does', () => {
    const guest = create();
    guest.vm.protect([frame(NOTHING)]);
    const vcpu = upper(guest);
    vcpu.load(kernelVa(0x20_0000), 8);
    guest.vm.removeMemory(0 as Gfn);
    expect(guest.vm.vtl1.effectiveRights(0x200 as Gfn)).toBeUndefined();
  });

  test('is not bound by what VTL0 pinned', () => {
    const guest = create();
    guest.hypercall(13, 4, CR4.SMEP);
    const vcpu = upper(guest);
    vcpu.registers.cr4 |= CR4.SMEP;
    expect(vcpu.movToCr(4, vcpu.registers.cr4 & ~CR4.SMEP).kind).toBe('done');
    expect(guest.cpu.movToCr(4, guest.cpu.registers.cr4 & ~CR4.SMEP)).toMatchObject({ vector: 13 });
  });

  test('has hypercalls that VTL0 has not', () => {
    const guest = create();
    guest.protect([range(0x200, 0x201, R | IMMUTABLE)]);
    for (const number of [0x56544c01, 0x56544c02, 0x56544c03]) {
      expect(guest.hypercall(number, 0x200, 0x201, 0)).toBe(-1000);
    }
    expect(guest.vm.effectiveRights(0x200 as Gfn)?.write).toBe(false);
  });
});

describe('a denial', () => {
  test('is delivered to VTL1, which decides in its own half of the virtual CPU', () => {
    const denials: Denial[] = [];
    const guest = create({
      denied(denial) {
        denials.push(denial);
        return 'general-protection';
      },
    });
    guest.protect([range(0x200, 0x201, R)]);
    guest.events.length = 0;
    const { switches } = guest.vm.vtl1;
    expect(guest.cpu.store(kernelVa(0x20_0000), 8, 1n)).toMatchObject({ vector: 13 });
    expect(denials).toEqual([{ kind: 'memory', gpa: 0x20_0000, linear: undefined, access: 'write' }]);
    expect(guest.events.map(({ type }) => type).slice(-6)).toEqual([
      'ept-violation',
      'user-exit',
      'vtl-switch',
      'denied',
      'vtl-switch',
      'injected',
    ]);
    expect(guest.vm.vtl1.switches - switches).toBe(2);
  });

  test('of a pinned register does, too', () => {
    const guest = create({ denied: () => 'stop' });
    guest.hypercall(13, 0, CR0.WP);
    expect(guest.cpu.movToCr(0, guest.cpu.registers.cr0 & ~CR0.WP).kind).toBe('stopped');
  });

  test('can be lifted by VTL1 in one stay there', () => {
    const guest = create({
      denied(_denial, vm) {
        vm.protect([frame({ ...NOTHING, read: true, write: true })]);
        return 'retry';
      },
    });
    guest.protect([range(0x200, 0x201, R | IMMUTABLE)]);
    const { switches } = guest.vm.vtl1;
    expect(guest.cpu.store(kernelVa(0x20_0000), 8, 1n).kind).toBe('done');
    expect(guest.vm.vtl1.switches - switches).toBe(2);
  });
});

test('a trace tells who does what', () => {
  const hypervisor = createKvmVtl();
  const guest = createGuestOn(hypervisor);
  guest.vm.protect([
    frame(NOTHING),
    { ...frame(NOTHING), rights: { ...NOTHING, read: true, userExecute: true } },
  ]);
  guest.cpu.store(kernelVa(0x30_0000), 8, 1n);
  guest.cpu.store(kernelVa(0x20_0000), 8, 1n);
  guest.vm.ioctls.setMemoryAttributes({ address: 0x20_0000n, size: 0x1000n, attributes: 0n, flags: 0n });
  const lines = guest.events
    .filter(({ type }) => !['mapped', 'zapped', 'flushed'].includes(type))
    .map((event) => hypervisor.describe(event));
  expect(lines.slice(0, 5)).toEqual([
    'virtual CPU 0 goes on in VTL1',
    'attributes of gfns 0x200-0x201: NR NW NX NUX',
    'attributes of gfns 0x200-0x201: NW NX',
    'protection by policy-owner: 2 applied',
    'virtual CPU 0 goes on in VTL0',
  ]);
  expect(lines.slice(-7)).toEqual([
    'EPT violation at 0x200000, qualification 0x582, error code 0x100000002',
    'KVM_RUN returns 39 (memory-fault)',
    'virtual CPU 0 goes on in VTL1',
    'denied: write of guest-physical 0x200000, page-fault',
    'virtual CPU 0 goes on in VTL0',
    'injected #PF, error code 0x3, CR2 0xffffffffffffffff',
    'attributes of gfns 0x200-0x201: none',
  ]);
});

describe('immutability is kept by VTL1', () => {
  test('that the guest cannot break and VTL1 can', () => {
    const guest = create();
    guest.protect([range(0x200, 0x201, R | IMMUTABLE)]);
    expect(guest.protect([range(0x200, 0x201, RW)])).toBe(EPERM);
    expect(guest.vm.protect([frame({ ...NOTHING, read: true, write: true })]).refused).toBeUndefined();
    expect(guest.vm.effectiveRights(0x200 as Gfn)?.write).toBe(true);
    expect(guest.of('protected').at(-1)?.by).toBe('policy-owner');
  });

  test('and that the VMM under both can break without VTL1 hearing of it', () => {
    const guest = create();
    guest.protect([range(0x200, 0x201, R | IMMUTABLE)]);
    const { switches } = guest.vm.vtl1;
    const request = { address: 0x20_0000n, size: 0x1000n, attributes: 0n, flags: 0n };
    expect(guest.vm.ioctls.setMemoryAttributes(request)).toBe(0);
    expect(guest.cpu.store(kernelVa(0x20_0000), 8, 1n).kind).toBe('done');
    expect(guest.vm.vtl1.switches).toBe(switches);
    expect(guest.vm.save()?.ranges).toMatchObject([{ start: 0x200, immutable: true }]);
  });
});

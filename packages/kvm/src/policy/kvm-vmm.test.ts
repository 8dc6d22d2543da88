import { decodeHypercallExit, decodeMemoryFaultExit, KvmHypercall } from '@heki/hypercall/kvm';
import { type Denial, HypervisorError, type ProtectionRange, type Rights } from '@heki/hypervisor';
import type { Gfn } from '@heki/physical-memory';
import { CR0, CR4 } from '@heki/x86';
import { describe, expect, test } from 'vitest';
import { createGuest, createGuestOn, kernelVa, range, type TestGuest, userVa } from '../testing/guest.ts';
import { createKvmVmm } from './kvm-vmm.ts';
import type { KvmPolicyOptions } from './options.ts';
import type { DenialAnswer, HekiPolicy } from './policy.ts';
import type { KvmPolicyMachine } from './policy-machine.ts';

const R = 1;
const RW = 3;
const RX = 5;
const RWX = 7;
const IMMUTABLE = 8;
const EPERM = -1;
const EINVAL = -22;
const END_OF_BOOT = KvmHypercall.HEKI_END_OF_BOOT;

const create = (
  policy: HekiPolicy<KvmPolicyMachine> = {},
  options: KvmPolicyOptions = {},
): TestGuest<KvmPolicyMachine> => createGuestOn(createKvmVmm({ ...options, policy }));

/** The rights of frame 0x200, as letters. */
const letters = ({ vm }: TestGuest<KvmPolicyMachine>, gfn = 0x200): string => {
  const rights = vm.effectiveRights(gfn as Gfn);
  const letter = (name: keyof Rights, text: string): string => (rights?.[name] === true ? text : '-');
  return (
    letter('read', 'r') + letter('write', 'w') + letter('supervisorExecute', 'x') + letter('userExecute', 'u')
  );
};

const own = (rights: Rights, start = 0x200, end = start + 1): ProtectionRange => ({
  start: start as Gfn,
  end: end as Gfn,
  rights,
});
const NOTHING: Rights = { read: false, write: false, supervisorExecute: false, userExecute: false };
const READ: Rights = { ...NOTHING, read: true };

describe('a request of the guest', () => {
  test('is an exit to the VMM, which applies it range by range', () => {
    const guest = create();
    expect(guest.protect([range(0x200, 0x201, R), range(0x300, 0x400, RX)])).toBe(0);
    expect(letters(guest)).toBe('r--u');
    expect(letters(guest, 0x3ff)).toBe('r-xu');
    const [exit, more] = guest.of('user-exit');
    expect(more).toBeUndefined();
    expect(exit?.exit).toMatchObject({ reason: 'hypercall', number: 3, call: 14n });
    const payload = exit?.exit.reason === 'hypercall' ? decodeHypercallExit(exit.exit.payload) : undefined;
    expect(payload).toEqual({ number: 14n, arguments: [0x6_0000n, 0n, 0n, 0n, 0n, 0n], flags: 1n });
    expect(guest.of('attributes-set').map(({ start, end, attributes }) => [start, end, attributes])).toEqual([
      [0x200, 0x201, 6],
      [0x300, 0x400, 2],
    ]);
    expect(guest.vm.statistics).toMatchObject({
      userExits: 1,
      attributeCalls: 2,
      ranges: { sent: 2, applied: 2, refused: 0 },
    });
  });

  test('costs no exit to user space where the kernel owns the policy', () => {
    const guest = createGuest();
    guest.protect([range(0x200, 0x201, R)]);
    expect(guest.vm.statistics).toMatchObject({ userExits: 0, attributeCalls: 0 });
  });

  test('from 32-bit code has its numbers cut, and says so', () => {
    const guest = create();
    guest.cpu.registers.codeSegment64 = false;
    expect(guest.hypercall(13, 4, (1n << 40n) | CR4.SMEP)).toBe(0);
    expect(guest.vm.pins.cr4).toBe(CR4.SMEP);
    const [exit] = guest.of('user-exit');
    const payload = exit?.exit.reason === 'hypercall' ? decodeHypercallExit(exit.exit.payload) : undefined;
    expect(payload).toMatchObject({ arguments: [4n, CR4.SMEP, 0n, 0n, 0n, 0n], flags: 0n });
  });

  test('that is malformed is not put to the policy', () => {
    let asked = 0;
    const guest = create({
      protect() {
        asked++;
        return 'allow';
      },
    });
    expect(guest.protect([range(0x200, 0x201, R), range(0x300, 0x301, 16)])).toBe(EINVAL);
    expect(guest.hypercall(14, 0x7000_0000_0000)).toBe(-14);
    expect(letters(guest)).toBe('rwxu');
    expect(asked).toBe(0);
  });

  test('can be refused as a whole', () => {
    const guest = create({
      protect: (ranges) => (ranges.some(({ rights }) => rights.supervisorExecute) ? 'refuse' : 'allow'),
    });
    expect(guest.protect([range(0x200, 0x201, R), range(0x300, 0x301, RX)])).toBe(EPERM);
    expect(letters(guest)).toBe('rwxu');
    expect(guest.of('protected')[0]?.result).toEqual({
      applied: 0,
      weakened: [],
      refused: { at: -1, why: 'not-permitted' },
    });
    expect(guest.protect([range(0x200, 0x201, R)])).toBe(0);
    expect(guest.vm.statistics.ranges).toMatchObject({ sent: 3, applied: 1, refused: 2 });
  });

  test('can be amended, and the result says what it came to', () => {
    // Nothing is both writable and executable, whatever the guest says.
    const guest = create({
      protect: (ranges) =>
        ranges.map(({ rights }) => ({
          rights: rights.write ? { ...rights, supervisorExecute: false } : rights,
          immutable: !rights.write,
        })),
    });
    expect(guest.protect([range(0x200, 0x201, RWX), range(0x300, 0x301, RX)])).toBe(0);
    expect(letters(guest)).toBe('rw-u');
    expect(guest.of('protected')[0]?.result.weakened).toMatchObject([
      { range: { start: 0x200, rights: { supervisorExecute: true } }, granted: { supervisorExecute: false } },
    ]);
    expect(guest.protect([range(0x200, 0x201, R)])).toBe(0);
    expect(guest.protect([range(0x300, 0x301, RWX)])).toBe(EPERM);
  });

  test('cannot be amended to another number of ranges', () => {
    const guest = create({ protect: () => [] });
    expect(() => guest.protect([range(0x200, 0x201, R)])).toThrow(HypervisorError);
    expect(() => guest.protect([range(0x200, 0x201, R)])).toThrow('1 ranges to 0');
  });

  test('finds no KVM policy behind the numbers: only the version is the same', () => {
    const guest = create();
    expect(guest.hypercall(13, 0, 0, 1)).toBe(1);
    expect(guest.hypercall(99)).toBe(-1000);
    expect(createGuest().hypercall(END_OF_BOOT)).toBe(-1000);
  });
});

describe('the end of boot', () => {
  test('is the last request that is taken', () => {
    const guest = create();
    expect(guest.hypercall(END_OF_BOOT)).toBe(0);
    expect(guest.hypercall(END_OF_BOOT)).toBe(EPERM);
    expect(guest.protect([range(0x200, 0x201, R)])).toBe(EPERM);
    expect(guest.hypercall(13, 4, CR4.SMEP)).toBe(EPERM);
    expect(guest.of('pinned')[0]?.result).toMatchObject({ cr4: 0n, refused: 'not-permitted' });
    expect(guest.vm.protect([own(READ)]).applied).toBe(1);
  });

  test.each([
    ['reset', 'keep', EPERM],
    ['reset', 'clear', 0],
    ['kexec', 'keep', EPERM],
    ['kexec', 'clear', 0],
  ] as const)(
    'is over after %s when that is to %s protection: a request then gives %i',
    (kind, policy, result) => {
      const guest = create({}, { lifeCycle: { [kind]: policy } });
      guest.protect([range(0x200, 0x201, R)]);
      guest.hypercall(END_OF_BOOT);
      const { efer } = guest.cpu.registers;
      guest.vm.lifeCycle({ kind });
      Object.assign(guest.cpu.registers, { efer, codeSegment64: true });
      expect(letters(guest)).toBe(policy === 'keep' ? 'r--u' : 'rwxu');
      expect(guest.protect([range(0x300, 0x301, R)])).toBe(result);
    },
  );

  test('can be refused', () => {
    const guest = create({ endOfBoot: () => 'refuse' });
    expect(guest.hypercall(END_OF_BOOT)).toBe(EPERM);
    expect(guest.protect([range(0x200, 0x201, R)])).toBe(0);
  });
});

describe('attributes that take rights away', () => {
  const set = (guest: TestGuest<KvmPolicyMachine>, attributes: bigint, flags = 0n): number =>
    guest.vm.ioctls.setMemoryAttributes({ address: 0x20_0000n, size: 0x1000n, attributes, flags });

  test('say no access at all, which a processor without a leaf enforces', () => {
    const guest = create();
    guest.cpu.load(kernelVa(0x20_0000), 8);
    guest.vm.protect([own(NOTHING)]);
    expect(guest.vm.attributes.get(0x200 as Gfn)).toBe(0x17);
    expect(letters(guest)).toBe('----');
    const before = guest.vm.statistics.mapped;
    expect(guest.cpu.load(kernelVa(0x20_0000), 8)).toMatchObject({ kind: 'exception', vector: 14 });
    expect(guest.vm.statistics.mapped - before).toBeLessThan(3);
    expect(guest.of('denied')[0]?.denial).toMatchObject({ kind: 'memory', gpa: 0x20_0000, access: 'read' });
    expect(guest.cpu.load(kernelVa(0x20_1000), 8).kind).toBe('done');
  });

  test('leave full access where they are absent', () => {
    const guest = create();
    guest.vm.protect([own(READ)]);
    expect(set(guest, 0n)).toBe(0);
    expect(guest.vm.attributes.extents).toBe(0);
    expect(letters(guest)).toBe('rwxu');
  });

  test('take the execution of the kernel without that of user code, and the other way round', () => {
    const guest = create();
    for (const [attributes, kernel, user] of [
      [4n, 'exception', 'done'],
      [0x10n, 'done', 'exception'],
      [0x14n, 'exception', 'exception'],
    ] as const) {
      expect(set(guest, attributes)).toBe(0);
      guest.cpu.registers.cpl = 0;
      expect(guest.cpu.fetch(kernelVa(0x20_0000)).kind).toBe(kernel);
      guest.cpu.registers.cpl = 3;
      expect(guest.cpu.fetch(userVa(0x20_0000)).kind).toBe(user);
    }
  });

  test.each([
    ['no reading, but writing', 1n | 4n | 0x10n, {}],
    ['no reading, but executing', 1n | 2n | 4n, {}],
    ['the private bit', 8n, {}],
    ['a bit outside the register', 0x20n, {}],
    ['one kind of execution, without MBEC', 4n, { mbec: false }],
  ] as const)('do not take %s', (_what, attributes, options) => {
    expect(set(create({}, options), attributes)).toBe(EINVAL);
  });

  test('do not take flags', () => {
    expect(set(create(), 2n, 1n)).toBe(EINVAL);
  });

  test('weaken what a processor without a split cannot tell apart', () => {
    const guest = create({}, { mbec: false });
    expect(guest.protect([range(0x200, 0x201, RW)])).toBe(0);
    expect(letters(guest)).toBe('rwxu');
    expect(guest.of('protected')[0]?.result.weakened).toHaveLength(1);
    // The owner can deny user execution, too, which the guest's request cannot express.
    guest.vm.protect([own(READ)]);
    expect(letters(guest)).toBe('r---');
  });
});

describe('a denied access', () => {
  const answering = (
    answer: DenialAnswer,
    denials: Denial[] = [],
    options: KvmPolicyOptions = {},
  ): TestGuest<KvmPolicyMachine> => {
    const guest = create(
      {
        denied(denial) {
          denials.push(denial);
          return answer;
        },
      },
      options,
    );
    guest.protect([range(0x200, 0x201, R)]);
    guest.events.length = 0;
    return guest;
  };
  const store = (guest: TestGuest<KvmPolicyMachine>) => guest.cpu.store(kernelVa(0x20_0008), 8, 1n);

  test('is KVM_EXIT_MEMORY_FAULT, with page, size and what was wanted, and nothing else', () => {
    const denials: Denial[] = [];
    const guest = answering('general-protection', denials);
    store(guest);
    guest.cpu.fetch(kernelVa(0x20_0000));
    expect(denials).toEqual([
      { kind: 'memory', gpa: 0x20_0000, linear: undefined, access: 'write' },
      { kind: 'memory', gpa: 0x20_0000, linear: undefined, access: 'supervisor-execute' },
    ]);
    const exits = guest.of('user-exit').map(({ exit }) => exit);
    expect(exits).toMatchObject([
      { reason: 'memory-fault', number: 39, flags: 2, gpa: 0x20_0000, size: 4096 },
      { reason: 'memory-fault', number: 39, flags: 4, gpa: 0x20_0000, size: 4096 },
    ]);
    const [first] = exits;
    expect(first?.reason === 'memory-fault' && decodeMemoryFaultExit(first.payload)).toEqual({
      flags: 2n,
      gpa: 0x20_0000n,
      size: 0x1000n,
    });
  });

  test('needs no second exit, as the series does: attributes are looked at before anything is mapped', () => {
    const guest = answering('page-fault');
    store(guest);
    const violations = guest.of('ept-violation').filter(({ gpa }) => gpa >= 0x20_0000);
    expect(violations).toHaveLength(1);
    expect(guest.of('denied')).toMatchObject([{ vcpu: 0, verdict: 'page-fault' }]);
  });

  test('becomes #PF at an address that the exit does not tell', () => {
    expect(store(answering('page-fault'))).toMatchObject({
      vector: 14,
      errorCode: 3,
      cr2: 0xffff_ffff_ffff_ffffn,
    });
    expect(answering('page-fault').cpu.fetch(kernelVa(0x20_0000))).toMatchObject({ errorCode: 0x11 });
  });

  test('becomes #GP(0)', () => {
    expect(store(answering('general-protection'))).toMatchObject({ vector: 13, errorCode: 0 });
  });

  test('is skipped without effect', () => {
    const guest = answering('skip');
    expect(store(guest).kind).toBe('done');
    expect(guest.cpu.load(kernelVa(0x20_0008), 8)).toMatchObject({ value: 0n });
    expect(guest.vm.statistics.injected).toBe(0);
  });

  test('stops the machine', () => {
    const guest = answering('stop');
    expect(store(guest)).toMatchObject({ kind: 'stopped' });
    expect(guest.of('denied')).toMatchObject([{ verdict: 'stop' }]);
  });

  test('is tried again after the VMM has relaxed the page, and then there was no denial', () => {
    const guest = create({
      denied(denial, vm) {
        if (denial.kind === 'memory')
          vm.protect([own({ ...READ, write: true }, Math.floor(denial.gpa / 4096))]);
        return 'retry';
      },
    });
    guest.protect([range(0x200, 0x201, R | IMMUTABLE)]);
    expect(store(guest).kind).toBe('done');
    expect(letters(guest)).toBe('rw--');
    expect(guest.of('denied')).toEqual([]);
    expect(guest.vm.statistics.userExits).toBe(2);
  });

  test('that is tried again against the same rights gets nowhere', () => {
    expect(store(answering('retry')).kind).toBe('livelock');
  });

  test('of user code is told by its CPL', () => {
    const denials: Denial[] = [];
    const guest = answering('page-fault', denials);
    guest.cpu.registers.cpl = 3;
    expect(guest.cpu.store(userVa(0x20_0000), 1, 1n)).toMatchObject({ errorCode: 7 });
    guest.vm.protect([own(READ)]);
    expect(guest.cpu.fetch(userVa(0x20_0000))).toMatchObject({ errorCode: 0x15 });
    expect(denials.map((denial) => denial.kind === 'memory' && denial.access)).toEqual([
      'write',
      'user-execute',
    ]);
  });
});

describe('pins', () => {
  test('are asked for at an exit, and can be refused', () => {
    const guest = create({ pin: (register) => (register === 0 ? 'refuse' : 'allow') });
    expect(guest.hypercall(13, 0, CR0.WP)).toBe(EPERM);
    expect(guest.hypercall(13, 4, CR4.SMEP)).toBe(0);
    expect(guest.hypercall(13, 4, 1n)).toBe(EINVAL);
    expect(guest.vm.pins).toEqual({ cr0: 0n, cr4: CR4.SMEP });
    expect(guest.vm.statistics.userExits).toBe(3);
  });

  test('are kept by exits that the VMM decides', () => {
    const guest = create();
    guest.hypercall(13, 4, CR4.SMEP);
    const value = guest.cpu.registers.cr4 & ~CR4.SMEP;
    expect(guest.cpu.movToCr(4, value)).toMatchObject({ vector: 13 });
    expect(guest.of('user-exit').at(-1)?.exit).toMatchObject({ reason: 'register-write', cr: 4, value });
    expect(guest.of('denied')).toMatchObject([
      { denial: { kind: 'register', register: 'cr4', value }, verdict: 'general-protection' },
    ]);
    expect(guest.vm.statistics.registerDenials).toBe(1);
  });

  test('are undone by the VMM, which then lets the guest try again', () => {
    const guest = create({
      denied(_denial, vm) {
        const state = vm.save();
        if (state !== undefined) vm.restore({ ...state, cr4: 0n });
        return 'retry';
      },
    });
    guest.hypercall(13, 4, CR4.SMEP);
    expect(guest.cpu.movToCr(4, guest.cpu.registers.cr4 & ~CR4.SMEP).kind).toBe('done');
    expect(guest.cpu.registers.cr4 & CR4.SMEP).toBe(0n);
    expect(guest.vm.statistics.registerDenials).toBe(0);
  });

  test('of a write that is skipped leave the register as it is', () => {
    const guest = create({ denied: () => 'skip' });
    guest.hypercall(13, 4, CR4.SMEP);
    expect(guest.cpu.movToCr(4, guest.cpu.registers.cr4 & ~CR4.SMEP).kind).toBe('done');
    expect(guest.cpu.registers.cr4 & CR4.SMEP).toBe(CR4.SMEP);
  });
});

describe('immutability is kept by the VMM', () => {
  test('kept against the guest and broken by the VMM', () => {
    const guest = create();
    guest.protect([range(0x200, 0x210, R | IMMUTABLE)]);
    expect(guest.protect([range(0x20f, 0x211, RW)])).toBe(EPERM);
    expect(guest.vm.protect([own({ ...READ, write: true }, 0x20f)])).toEqual({ applied: 1, weakened: [] });
    expect(letters(guest, 0x20f)).toBe('rw--');
    // What was immutable went with it.
    expect(guest.protect([range(0x20f, 0x210, R)])).toBe(0);
    expect(guest.protect([range(0x20e, 0x20f, R)])).toBe(EPERM);
  });

  test('of which KVM knows nothing, so that the ioctl takes the page without a word', () => {
    const guest = create();
    guest.protect([range(0x200, 0x201, R | IMMUTABLE)]);
    expect(letters(guest)).toBe('r--u');
    const request = { address: 0x20_0000n, size: 0x1000n, attributes: 0n, flags: 0n };
    expect(guest.vm.ioctls.setMemoryAttributes(request)).toBe(0);
    expect(letters(guest)).toBe('rwxu');
    // The VMM's table and what is in force differ now.
    expect(guest.vm.save()?.ranges).toMatchObject([
      { start: 0x200, rights: { write: false }, immutable: true },
    ]);
    expect(guest.protect([range(0x200, 0x201, R)])).toBe(EPERM);
  });

  test('where the guest kernel owns the policy, user space has no such ioctl', () => {
    const guest = createGuest();
    guest.protect([range(0x200, 0x201, R | IMMUTABLE)]);
    const request = { address: 0x20_0000n, size: 0x1000n, attributes: 2n, flags: 0n };
    expect(guest.vm.ioctls.setMemoryAttributes(request)).toBe(EINVAL);
    const own = guest.vm.protect([
      { start: 0x200 as Gfn, end: 0x201 as Gfn, rights: { ...READ, write: true } },
    ]);
    expect(own.refused?.why).toBe('immutable');
  });
});

test('what is saved with another default is enforced for all memory', () => {
  const guest = create();
  const otherwise = { ...READ, write: true, userExecute: true };
  guest.vm.restore({ ranges: [], otherwise, cr0: 0n, cr4: CR4.SMEP });
  expect(letters(guest, 0x1000)).toBe('rw-u');
  expect(guest.vm.pins.cr4).toBe(CR4.SMEP);
});

test('a machine that is saved after the end of boot has it ended where it is restored', () => {
  const guest = create();
  expect(guest.hypercall(END_OF_BOOT)).toBe(0);
  const state = guest.vm.save();
  expect(state?.bootEnded).toBe(true);
  const other = create();
  expect(other.vm.save()).not.toHaveProperty('bootEnded');
  expect(state && other.vm.restore(state)).toBe(true);
  expect(other.protect([range(0x200, 0x201, R)])).toBe(EPERM);
  expect(other.hypercall(END_OF_BOOT)).toBe(EPERM);
});

test('a register write cannot fault: an owner who wants that is told what the guest got', () => {
  const guest = create({ denied: () => 'page-fault' });
  guest.vm.pin({ cr4: CR4.SMEP });
  const { cr4 } = guest.cpu.registers;
  expect(guest.cpu.movToCr(4, cr4 & ~CR4.SMEP)).toMatchObject({ kind: 'exception', vector: 13 });
  expect(guest.events.filter(({ type }) => type === 'denied')).toMatchObject([
    { verdict: 'general-protection' },
  ]);
});

import type { VirtualAddress } from '@heki/physical-memory';
import { AMD_ZEN4, CR4, INTEL_HASWELL, INTEL_VT_RP } from '@heki/x86';
import { expect, test } from 'vitest';
import { createGuest, kernelVa, poke, range, userVa } from '../testing/guest.ts';

const R = 1;
const RW = 3;
const RX = 5;
const IMMUTABLE = 8;

for (const profile of ['rfc-v2', 'hardened'] as const) {
  test(`${profile}: the first store after a protect call maps the page, the second exit injects #PF 0x3`, () => {
    const guest = createGuest({ profile });
    guest.cpu.store(kernelVa(0x20_0000), 8, 1n);
    expect(guest.protect([range(0x200, 0x201, R | IMMUTABLE), range(0x201, 0x400, RW)])).toBe(0);
    // The page tables were zapped too: this access maps them again.
    guest.cpu.load(kernelVa(0x30_0000), 8);
    guest.events.length = 0;
    expect(guest.cpu.store(kernelVa(0x20_0008), 8, 2n)).toMatchObject({
      kind: 'exception',
      vector: 14,
      errorCode: 3,
      cr2: kernelVa(0x20_0008),
    });
    expect(guest.events.map((event) => event.type)).toEqual([
      'ept-violation',
      'mapped',
      'ept-violation',
      'log',
      'denied',
      'injected',
    ]);
    expect(guest.of('log')).toEqual([
      { type: 'log', text: 'heki: Creating write #PF at 0xffff888000200008 GFN=200' },
    ]);
    expect(guest.cpu.load(kernelVa(0x20_0000), 8)).toMatchObject({ kind: 'done', value: 1n });
  });

  test(`${profile}: a fetch from a page without EXEC is #PF 0x11 with MBEC and runs without it`, () => {
    const guest = createGuest({ profile });
    expect(guest.protect([range(0x200, 0x201, RW)])).toBe(0);
    expect(guest.cpu.fetch(kernelVa(0x20_0000))).toMatchObject({ vector: 14, errorCode: 0x11 });
    for (const absent of [{ mbec: false }, { processor: INTEL_HASWELL }]) {
      const weak = createGuest({ profile, ...absent });
      expect(weak.protect([range(0x200, 0x201, RW)])).toBe(0);
      expect(weak.cpu.fetch(kernelVa(0x20_0000))).toMatchObject({ kind: 'done' });
      expect(weak.of('protected')[0]?.result.weakened).toHaveLength(1);
      expect(weak.of('range')[0]?.outcome).toBe('weakened');
    }
  });

  test(`${profile}: text may be read and executed and not written`, () => {
    const guest = createGuest({ profile });
    expect(guest.protect([range(0x1000, 0x1200, RX | IMMUTABLE)])).toBe(0);
    expect(guest.cpu.fetch(kernelVa(0x100_0000), 4)).toMatchObject({ kind: 'done' });
    expect(guest.cpu.load(kernelVa(0x100_0000), 8)).toMatchObject({ kind: 'done' });
    expect(guest.cpu.store(kernelVa(0x100_0000), 1, 0xccn)).toMatchObject({ vector: 14, errorCode: 3 });
    expect(guest.vm.leafCounts().pages2M).toBeGreaterThan(0);
  });
}

test('a read-modify-write looks like a user fault where the processor reports its read', () => {
  for (const [readModifyWriteReportsRead, errorCode] of [
    [true, 7],
    [false, 3],
  ] as const) {
    const { ept } = INTEL_VT_RP;
    if (ept === undefined) throw new Error('no EPT');
    const guest = createGuest({ processor: { ...INTEL_VT_RP, ept: { ...ept, readModifyWriteReportsRead } } });
    guest.protect([range(0x200, 0x201, R)]);
    expect(guest.cpu.readModifyWrite(kernelVa(0x20_0000), 8, (old) => old + 1n)).toMatchObject({
      vector: 14,
      errorCode,
    });
  }
});

test('with EPT accessed and dirty flags a read-only page table is unusable: violation 0x8b, #PF 0x7', () => {
  const guest = createGuest();
  guest.protect([range(0x40, 0x44, R)]);
  guest.events.length = 0;
  expect(guest.cpu.load(kernelVa(0x20_0000), 8)).toMatchObject({ vector: 14, errorCode: 7 });
  expect(guest.of('ept-violation').at(-1)?.qualification).toBe(0xcb);
  expect(guest.of('denied')[0]?.denial).toMatchObject({ kind: 'memory', gpa: 0x40888, access: 'page-walk' });
});

test('a guest that takes the fault for spurious retries for ever: a livelock', () => {
  const guest = createGuest({ onException: () => 'retry' });
  guest.protect([range(0x200, 0x201, R)]);
  const outcome = guest.cpu.store(kernelVa(0x20_0000), 8, 1n);
  expect(outcome.kind).toBe('livelock');
  expect(outcome.kind === 'livelock' ? outcome.cycle.map((turn) => turn.kind) : []).toEqual([
    'exit',
    'exception',
  ]);
});

test('new rights bind every virtual CPU when the hypercall returns, whatever it had cached', () => {
  const guest = createGuest();
  const second = guest.addCpu();
  expect(second.store(kernelVa(0x20_0000), 8, 1n)).toMatchObject({ kind: 'done' });
  expect(second.fetch(kernelVa(0x20_0000))).toMatchObject({ kind: 'done' });
  guest.protect([range(0x200, 0x201, R)]);
  expect(second.store(kernelVa(0x20_0000), 8, 2n)).toMatchObject({ vector: 14, errorCode: 3 });
  expect(second.fetch(kernelVa(0x20_0000))).toMatchObject({ vector: 14, errorCode: 0x11 });
  expect(guest.of('flushed').at(-1)).toEqual({ type: 'flushed', vcpus: 2 });
});

test('user code may execute what the kernel may not: XU stays', () => {
  const guest = createGuest();
  guest.protect([range(0x200, 0x201, RW)]);
  guest.cpu.registers.cpl = 3;
  expect(guest.cpu.fetch(userVa(0x20_0000))).toMatchObject({ kind: 'done' });
});

test('with SMEP off the kernel runs user pages, whatever their rights: MBEC looks at the linear address', () => {
  const guest = createGuest({ registers: { cr4: CR4.PAE } });
  guest.protect([range(0x200, 0x201, RW)]);
  expect(guest.cpu.fetch(userVa(0x20_0000))).toMatchObject({ kind: 'done' });
  expect(guest.cpu.fetch(kernelVa(0x20_0000))).toMatchObject({ vector: 14, errorCode: 0x11 });
});

test('when no frame is left for a table the VM stops, as KVM_RUN fails', () => {
  const guest = createGuest();
  while (guest.frames.allocate() !== undefined);
  expect(guest.cpu.load(kernelVa(0), 8)).toMatchObject({ kind: 'stopped' });
});

test('AMD: the linear address of a denied access, which #NPF does not tell, is found by RIP and by decoding', () => {
  const guest = createGuest({ processor: AMD_ZEN4 });
  guest.protect([range(0x200, 0x201, RW), range(0x201, 0x202, RX), range(0x202, 0x203, RW)]);
  const { cpu } = guest;
  const denied = (errorCode: number, gpa: number) => ({ vector: 14, errorCode, cr2: kernelVa(gpa) });
  expect(cpu.fetch(kernelVa(0x20_0123))).toMatchObject(denied(0x11, 0x20_0123));
  // An instruction whose second half is on a page that may not be executed.
  expect(cpu.fetch(kernelVa(0x20_1ffe), 4)).toMatchObject(denied(0x11, 0x20_2000));
  expect(cpu.registers.cr2).toBe(kernelVa(0x20_2000));
  expect(cpu.store(kernelVa(0x20_1010), 8, 1n)).toMatchObject(denied(3, 0x20_1010));
  expect(cpu.store(kernelVa(0x20_0ffc), 8, 1n)).toMatchObject(denied(3, 0x20_1000));
  expect(cpu.storeBytes(kernelVa(0x20_0ffc), new Uint8Array(8))).toMatchObject(denied(3, 0x20_1000));
  cpu.registers.cpl = 3;
  expect(cpu.store(userVa(0x20_1010), 8, 1n)).toMatchObject({
    vector: 14,
    errorCode: 7,
    cr2: userVa(0x20_1010),
  });
  expect(
    guest
      .of('denied')
      .slice(0, 5)
      .map(({ denial }) => denial.kind === 'memory' && denial.linear),
  ).toEqual([0x20_0123, 0x20_2000, 0x20_1010, 0x20_1000, 0x20_1000].map(kernelVa));
});

test('AMD: with a processor access of its own there is no address to be found', () => {
  const guest = createGuest({ processor: AMD_ZEN4 });
  poke(guest, 0x20_0008, [0x0000_8900_0000_0067n, 0n]);
  guest.protect([range(0x200, 0x201, R)]);
  guest.cpu.registers.gdtr = { base: kernelVa(0x20_0000), limit: 0xff };
  expect(guest.cpu.ltr(8)).toMatchObject({ vector: 14, cr2: 0xffff_ffff_ffff_ffffn });
});

test('rfc-v2 on AMD: the injected address is whatever CR2 held (B-H17)', () => {
  const guest = createGuest({ processor: AMD_ZEN4, profile: 'rfc-v2' });
  guest.protect([range(0x200, 0x201, RX)]);
  for (const [stale, cr2] of [
    [0n, 0xffff_ffff_ffff_ffffn],
    [0x1234n, 0x1234n],
  ] as const) {
    guest.cpu.registers.cr2 = stale as VirtualAddress;
    expect(guest.cpu.store(kernelVa(0x20_0010), 8, 1n)).toMatchObject({ vector: 14, cr2 });
  }
});

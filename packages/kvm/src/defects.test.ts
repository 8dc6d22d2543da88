import type { Gfn, Gpa, Pfn } from '@heki/physical-memory';
import { AMD_ZEN4, CR0, CR4 } from '@heki/x86';
import { describe, expect, test } from 'vitest';
import { type KvmDefectId, kvmDefects } from './defects/kvm-defects.ts';
import type { KvmOptions } from './options.ts';
import { createGuest, kernelVa, LIST_FRAME, poke, range, type TestGuest, userVa } from './testing/guest.ts';

const R = 1;
const RW = 3;
const RX = 5;
const RWX = 7;
const IMMUTABLE = 8;
const LIST = LIST_FRAME * 4096;

/**
 * Runs `body` under the four configurations that a switch must decide: the whole series, the series without this one
 * defect, the mended code, and the mended code with this one defect. `defective` says which behaviour is expected.
 */
function defect(
  id: KvmDefectId,
  options: KvmOptions & { readonly guestFrames?: number },
  body: (guest: TestGuest, defective: boolean) => void,
): void {
  describe(`${id}: ${kvmDefects[id].title}`, () => {
    test.each([
      ['is in rfc-v2', { profile: 'rfc-v2' }, true],
      ['is not in rfc-v2 without it', { profile: 'rfc-v2', defects: { [id]: false } }, false],
      ['is not in hardened', {}, false],
      ['is in hardened with it', { defects: { [id]: true } }, true],
    ] as const)('%s', (_name, profile, defective) => {
      body(createGuest({ ...options, ...profile }), defective);
    });
  });
}

/** Entries of one list page at {@link LIST}: header, then pa, epa, permissions of each. */
function list(guest: TestGuest, next: bigint, npages: bigint, entries: readonly bigint[] = []): number {
  poke(guest, LIST, [0n, next, npages, ...entries]);
  return guest.hypercall(14, LIST);
}

function incidents(guest: TestGuest): unknown[] {
  return guest.events.flatMap((event) =>
    'defect' in event ? [[event.type, event.defect, event.amount]] : [],
  );
}

defect('B-H1', {}, (guest, defective) => {
  guest.protect([range(0x200, 0x201, RWX)]);
  expect(guest.protect([range(0x200, 0x201, R)])).toBe(0);
  expect(guest.vm.effectiveRights(0x200 as Gfn)?.write).toBe(defective);
  expect(guest.vm.statistics.ranges.dropped).toBe(defective ? 1 : 0);
});

defect('B-H2', {}, (guest, defective) => {
  expect(list(guest, 0n, 170n)).toBe(defective ? -14 : -22);
  expect(list(guest, 0n, 1000n)).toBe(defective ? -14 : -22);
  // 3 * 2^61 entries of 24 bytes are 9 * 2^64 bytes: the copy wraps to nothing.
  expect(list(guest, 0n, 3n << 61n)).toBe(defective ? -14 : -22);
  expect(incidents(guest)).toEqual(
    defective
      ? [
          ['host-memory-corruption', 'B-H2', 8n],
          ['host-memory-corruption', 'B-H2', 24n * 1000n - 4072n],
          ['host-out-of-bounds-read', 'B-H2', 24n * (3n << 61n) - 4072n],
        ]
      : [],
  );
});

defect('B-H3', { budget: { listPages: 500 } }, (guest, defective) => {
  expect(list(guest, BigInt(LIST), 0n)).toBe(defective ? -7 : -22);
  expect(incidents(guest)).toEqual(defective ? [['host-exhaustion', 'B-H3', 500n * 4096n]] : []);
});

defect('B-H4', {}, (guest, defective) => {
  expect(guest.hypercall(14, 0x7000_0000_0000)).toBe(-14);
  expect(list(guest, 0x7000_0000_0000n, 0n)).toBe(-14);
  expect(incidents(guest)).toEqual(
    defective
      ? [
          ['host-leak', 'B-H4', 4096n],
          ['host-leak', 'B-H4', 4096n],
        ]
      : [],
  );
});

defect('B-H5', {}, (guest, defective) => {
  expect(guest.protect([range(0x8000, 0x8001, R)])).toBe(defective ? 0 : -22);
  expect(guest.vm.attributes.get(0x8000 as Gfn)).toBe(defective ? 0x10 : 0);
  expect(list(guest, 0n, 1n, [0n, (1n << 64n) - 4096n, BigInt(RW)])).toBe(defective ? -12 : -22);
  expect(incidents(guest)).toEqual(defective ? [['host-exhaustion', 'B-H5', 2n ** 52n - 1n]] : []);
});

defect('B-H6', {}, (guest, defective) => {
  poke(guest, LIST, [0n, 0n, 2n, 0x20_0000n, 0x20_1000n, BigInt(R), 0x20_1800n, 0x20_3000n, BigInt(R)]);
  expect(guest.hypercall(14, LIST)).toBe(-22);
  expect(guest.vm.attributes.get(0x200 as Gfn)).toBe(defective ? 0x10 : 0);
  expect(guest.of('protected')[0]?.result).toMatchObject({
    applied: defective ? 1 : 0,
    refused: { at: 1, why: 'misaligned' },
  });
  guest.protect([range(0x200, 0x300, R | IMMUTABLE), range(0x280, 0x281, RW)]);
  expect(guest.vm.attributes.get(0x2ff as Gfn)).toBe(defective ? 0x90 : 0);
});

defect('B-H7', {}, (guest, defective) => {
  guest.cpu.fetch(kernelVa(0x30_0000));
  guest.protect([range(0x200, 0x201, R)]);
  expect(guest.cpu.store(kernelVa(0x30_0000), 8, 1n)).toMatchObject({ kind: 'done' });
  expect(guest.cpu.fetch(kernelVa(0x30_0000))).toMatchObject(
    defective ? { kind: 'done' } : { vector: 14, errorCode: 0x11 },
  );
});

defect('B-H8', {}, (guest, defective) => {
  guest.protect([range(0x200, 0x300, RX | IMMUTABLE), range(0x300, 0x400, R | IMMUTABLE)]);
  guest.cpu.fetch(kernelVa(0x20_0000));
  expect(guest.vm.effectiveRights(0x3ff as Gfn)).toMatchObject({
    supervisorExecute: defective,
    present: defective,
  });
});

defect('B-H9', {}, (guest, defective) => {
  guest.protect([range(0, 0x4000, RWX)]);
  expect(incidents(guest)).toEqual(defective ? [['host-out-of-bounds-read', 'B-H9', 4n]] : []);
});

defect('B-H10', {}, (guest, defective) => {
  guest.protect([range(0x200, 0x300, RWX), range(0x300, 0x400, R)]);
  const [slot] = guest.vm.slots;
  const backing = slot?.backing ?? (0 as never);
  guest.vm.removeMemory(0 as Gfn);
  guest.vm.addMemory({ start: 0 as Gfn, frames: slot?.frames ?? 0, backing });
  guest.cpu.load(kernelVa(0x20_0000), 8);
  expect(guest.cpu.store(kernelVa(0x30_0000), 8, 1n)).toMatchObject(
    defective ? { kind: 'done' } : { vector: 14, errorCode: 3 },
  );
});

defect('B-H11', { privateMemory: true }, (guest, defective) => {
  const request = { address: 0x20_0000n, size: 0x1000n, attributes: 8n, flags: 0n };
  expect(guest.vm.ioctls.setMemoryAttributes(request)).toBe(0);
  expect(guest.cpu.store(kernelVa(0x20_0000), 8, 1n)).toMatchObject(
    defective ? { vector: 14, errorCode: 3 } : { kind: 'done' },
  );
});

defect('B-H12', {}, (guest, defective) => {
  guest.protect([range(0x1000, 0x1200, RX | IMMUTABLE)]);
  const shellcode = Uint8Array.of(0x90, 0x90, 0x90, 0xc3);
  // Hypercall 9 makes KVM store 64 bytes where the guest says.
  expect(guest.hypercall(9, 0x100_0000, 0)).toBe(defective ? 0 : -14);
  expect(guest.vm.emulateStore(guest.cpu, 0x100_0000 as Gpa, shellcode).kind).toBe(
    defective ? 'completed' : 'exception',
  );
  expect(guest.cpu.load(kernelVa(0x100_0000), 4)).toMatchObject({ value: defective ? 0xc390_9090n : 0n });
  // VMM and DMA are declared bypasses either way.
  expect(guest.vm.write('dma', 0x100_0000 as Gpa, shellcode)).toEqual({ ok: true });
  expect(guest.cpu.fetch(kernelVa(0x100_0000), 4)).toMatchObject({ value: shellcode });
});

defect('B-H13', {}, (guest, defective) => {
  guest.hypercall(13, 0, CR0.WP);
  guest.hypercall(13, 4, CR4.FSGSBASE | CR4.SMEP);
  const { registers } = guest.cpu;
  const refused = { vector: 13, errorCode: 0 };
  const { rip } = registers;
  expect(guest.cpu.movToCr(0, registers.cr0 & ~CR0.WP)).toMatchObject(defective ? { kind: 'done' } : refused);
  expect((registers.cr0 & CR0.WP) === 0n).toBe(defective);
  expect(guest.cpu.movToCr(4, registers.cr4 & ~CR4.FSGSBASE)).toMatchObject(
    defective ? { kind: 'done' } : refused,
  );
  expect(registers.rip === rip).toBe(!defective);
  expect(guest.cpu.movToCr(4, registers.cr4 & ~CR4.SMEP)).toMatchObject(refused);
});

defect('B-H14', {}, (guest, defective) => {
  guest.hypercall(13, 0, CR0.WP);
  guest.protect([range(0x1000, 0x1200, RX | IMMUTABLE)]);
  expect(guest.vm.save() === undefined).toBe(defective);
  guest.vm.lifeCycle({ kind: 'init', vcpu: 0 });
  expect(guest.cpu.movToCr(0, CR0.PE | CR0.ET)).toMatchObject(defective ? { vector: 13 } : { kind: 'done' });
  guest.vm.lifeCycle({ kind: 'reset' });
  expect(guest.vm.effectiveRights(0x1000 as Gfn)?.write).toBe(!defective);
  expect(guest.vm.pins.cr0).toBe(defective ? CR0.WP : 0n);
});

defect('B-H15', {}, (guest, defective) => {
  guest.hypercall(13, 4, CR4.SMEP);
  const without = guest.cpu.registers.cr4 & ~CR4.SMEP;
  expect(guest.vm.emulateMovToCr(guest.cpu, 4, without)).toMatchObject({
    kind: 'exception',
    exception: { vector: defective ? 8 : 13 },
  });
  const denial = guest.vm.ioctls.checkExtension(236) === 0 ? 0x48454b4a : 236;
  expect(guest.vm.ioctls.enableCapability(denial, 2n)).toBe(0);
  expect(guest.vm.emulateMovToCr(guest.cpu, 4, without)).toMatchObject({
    kind: defective ? 'completed-then' : 'exception',
    exception: { vector: 13 },
  });
  expect(guest.cpu.registers.cr4 & CR4.SMEP).toBe(CR4.SMEP);
});

defect('B-H16', { nxHugePages: true }, (guest, defective) => {
  guest.protect([range(0, 0x4000, RW)]);
  guest.cpu.registers.cpl = 3;
  guest.cpu.load(userVa(0x40_0000), 8);
  expect(guest.cpu.fetch(userVa(0x40_0000))).toMatchObject(
    defective ? { vector: 14, errorCode: 0x11 } : { kind: 'done' },
  );
  guest.cpu.registers.cpl = 0;
  expect(guest.cpu.fetch(kernelVa(0x40_0000))).toMatchObject({ vector: 14, errorCode: 0x11 });
});

defect('B-H17', { processor: AMD_ZEN4 }, (guest, defective) => {
  guest.hypercall(13, 4, CR4.SMEP);
  expect(guest.cpu.movToCr(4, guest.cpu.registers.cr4 & ~CR4.SMEP)).toMatchObject(
    defective ? { kind: 'done' } : { vector: 13 },
  );
  guest.protect([range(0, 0x200, RWX), range(0x200, 0x400, RW)]);
  expect(guest.cpu.load(kernelVa(0x20_0000), 8).kind).toBe(defective ? 'livelock' : 'done');
  expect(guest.vm.effectiveRights(0x200 as Gfn)?.read).toBe(!defective);
});

defect('B-H18', {}, (guest, defective) => {
  for (const permissions of [2, 4, 8, 6]) {
    expect(guest.protect([range(0x200 + permissions, 0x201 + permissions, permissions)])).toBe(
      defective ? 0 : -22,
    );
  }
  // Immutable alone is r-- immutable: READ is never withheld.
  expect(guest.cpu.load(kernelVa(0x20_8000), 8)).toMatchObject({ kind: 'done' });
});

defect('B-H19', {}, (guest, defective) => {
  for (let call = 0; call < 20; call++) {
    guest.protect(
      Array.from({ length: 169 }, (_, index) => range(0x200 + index, 0x201 + index, R + 2 * (call % 2))),
    );
  }
  const lines = guest.of('log').length;
  expect(lines).toBe(defective ? 20 * 169 : 10);
});

defect('B-ALIAS', {}, (guest, defective) => {
  const { vm, ram, cpu } = guest;
  const set = (slot: number, gfn: number, frame: number, frames = 0x10): void => {
    const answer = vm.ioctls.setUserMemoryRegion({
      slot,
      flags: 0,
      guestPhysicalAddress: BigInt(gfn) << 12n,
      memorySize: BigInt(frames) << 12n,
      userspaceAddress: BigInt(frame) << 12n,
    });
    expect(answer).toBe(0);
  };
  /** Stores by a guest frame, and gives the first byte of the host frame. */
  const poked = (gfn: number, frame: number): number => {
    cpu.store(kernelVa(gfn * 4096), 1, 0xccn);
    return (ram.page(frame as Pfn)?.[0] ?? 0) % 256;
  };
  // Guest frame 0x200 is host frame 0x10_0200. A second slot after the request, and one before it.
  guest.protect([range(0x200, 0x201, RX)]);
  set(7, 0x5000, 0x10_0200);
  expect(poked(0x5000, 0x10_0200)).toBe(defective ? 0xcc : 0);
  set(8, 0x5800, 0x10_0300);
  guest.protect([range(0x300, 0x301, RX), range(0x5800, 0x5801, RW)]);
  expect(poked(0x5800, 0x10_0300)).toBe(defective ? 0xcc : 0);
  expect(vm.effectiveRights(0x300 as Gfn)).toMatchObject({ write: false, supervisorExecute: true });
  // A slot is moved, stored to and moved back.
  set(9, 0x6000, 0x10_4000);
  guest.protect([range(0x6000, 0x6001, R)]);
  set(9, 0x7000, 0x10_4000);
  expect(poked(0x7000, 0x10_4000)).toBe(defective ? 0xcc : 0);
  set(9, 0x6000, 0x10_4000);
  expect(vm.effectiveRights(0x6000 as Gfn)?.write).toBe(false);
});

defect('B-H20', { hostCr4: 0x10_0000n, hostCr0: CR0.PE | CR0.WP }, (guest, defective) => {
  const smap = CR4.SMAP;
  expect(guest.hypercall(13, 4, smap)).toBe(0);
  expect(guest.vm.pins.cr4).toBe(defective ? 0n : smap);
  guest.cpu.movToCr(4, guest.cpu.registers.cr4 & ~CR4.SMEP);
  expect(guest.hypercall(13, 4, CR4.SMEP)).toBe(defective ? 0 : -22);
  // Pinned although clear: the guest has lost the register.
  expect(guest.cpu.movToCr(4, guest.cpu.registers.cr4 ^ CR4.TSD).kind === 'exception').toBe(false);
  expect(guest.cpu.movToCr(4, guest.cpu.registers.cr4 ^ CR4.MCE)).toMatchObject(
    defective ? { vector: 13 } : { kind: 'done' },
  );
  expect(guest.hypercall(13, 0, CR0.WP | CR0.NE)).toBe(defective ? -22 : 0);
});

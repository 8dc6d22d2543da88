import { buildImage } from '@heki/code-authority';
import { Errno } from '@heki/hypercall/errno';
import {
  CODE_ABI_VERSION,
  CODE_VERSION,
  CodeJit,
  codeExtents,
  encodeCodeLoad,
  encodeCodePokes,
  encodeCodeSeal,
  KvmError,
  KvmHypercall,
  MEM_ATTR_EXEC,
  MEM_ATTR_READ,
  MEM_ATTR_WRITE,
} from '@heki/hypercall/kvm';
import type { YieldPoint } from '@heki/hypervisor';
import type { Gfn, Gpa, Pfn } from '@heki/physical-memory';
import { AMD_ZEN4, INTEL_VT_RP } from '@heki/x86';
import { describe, expect, test } from 'vitest';
import { createKvm } from '../kvm.ts';
import {
  createGuest,
  kernelVa,
  LIST_FRAME,
  range,
  type TestGuest,
  type TestGuestOptions,
} from '../testing/guest.ts';
import {
  breakpoints,
  KERNEL_BASE,
  kernelCode,
  MODULE_BASE,
  MODULE_CODE,
  partAt,
} from '../testing/tiny-code.ts';

const [TEXT, DATA, FREE, FILE, INIT] = [0x200, 0x202, 0x210, 0x220, 0x212];
const BACKING = 0x10_0000;
const NOP5 = [0x0f, 0x1f, 0x44, 0x00, 0x00];
const JUMP = [0xe9, 0x2b, 0, 0, 0];

const KERNEL = kernelCode('lsm');
const SIGNED = {
  kernel: KERNEL,
  readImage: (file: Uint8Array) => (file[0] === 0x4d ? MODULE_CODE : undefined),
};

function write(guest: TestGuest, frame: number, bytes: Uint8Array, offset = 0): void {
  guest.vm.write('vmm', (frame * 4096 + offset) as Gpa, bytes);
}

/** A guest whose kernel lies in its text frame. */
function booted(options: TestGuestOptions = {}): TestGuest {
  const guest = createGuest({ authenticate: SIGNED, ...options });
  const built = buildImage(KERNEL, [KERNEL_BASE], [0, 0], () => undefined);
  if (built.ok) write(guest, TEXT, built.parts[0] ?? breakpoints());
  write(guest, FILE, Uint8Array.of(0x4d));
  return guest;
}

const CALL = KvmHypercall;
const AT = BigInt(LIST_FRAME) * 4096n;

function ask(guest: TestGuest, number: number, pages: readonly Uint8Array[]): number {
  for (const [index, page] of pages.entries()) write(guest, LIST_FRAME + index, page);
  return guest.hypercall(number, AT);
}
const LISTS = Array.from({ length: 4 }, (_, index) => (LIST_FRAME + index) as Gfn);
const seal = (guest: TestGuest, states: { site: number; state: number }[] = []): number =>
  ask(guest, CALL.CODE_SEAL, encodeCodeSeal({ parts: [partAt(KERNEL_BASE, TEXT)], states }, LISTS));
const load = (guest: TestGuest, frame = FREE): number =>
  ask(
    guest,
    CALL.CODE_LOAD,
    encodeCodeLoad(
      {
        file: { bytes: 100, extents: codeExtents([FILE as Gfn]) },
        parts: [partAt(MODULE_BASE, frame), partAt(MODULE_BASE + 0x1000n, INIT)],
        states: [],
      },
      LISTS,
    ),
  );
const poke = (
  guest: TestGuest,
  ...entries: readonly [image: number, site: number, state: number][]
): number =>
  ask(guest, CALL.CODE_POKE, [
    encodeCodePokes(entries.map(([image, at, state]) => ({ image, site: at, state }))),
  ]);

function sealed(options: TestGuestOptions = {}): TestGuest {
  const guest = booted(options);
  expect(seal(guest)).toBe(1);
  return guest;
}

const can = ({ vm }: TestGuest, frame: number): string => {
  const rights = vm.effectiveRights(frame as Gfn);
  return `${rights?.read ? 'r' : '-'}${rights?.write ? 'w' : '-'}${rights?.supervisorExecute ? 'x' : '-'}`;
};
const bytesAt = ({ ram }: TestGuest, frame: number, offset: number, length: number): number[] => {
  const page = ram.page((BACKING + frame) as Pfn) ?? new Uint32Array();
  return [...new Uint8Array(Uint32Array.from(page).buffer).subarray(offset, offset + length)];
};
const store = ({ cpu }: TestGuest, frame: number): string => cpu.store(kernelVa(frame * 4096), 8, 1n).kind;
const fetch = ({ cpu }: TestGuest, frame: number): string => cpu.fetch(kernelVa(frame * 4096), 1).kind;

describe.each([
  ['EPT', INTEL_VT_RP],
  ['nested paging', { ...AMD_ZEN4, npt: { readOnlyGuestPageTables: false, ...AMD_ZEN4.npt, gmet: true } }],
] as const)('sealed code on %s', (_, processor) => {
  test('is what was signed, and nothing else is executed by the kernel', () => {
    const guest = sealed({ processor });
    expect([can(guest, TEXT), can(guest, DATA)]).toEqual(['r-x', 'rw-']);
    expect([fetch(guest, TEXT), fetch(guest, DATA)]).toEqual(['done', 'exception']);
    expect([store(guest, TEXT), store(guest, DATA)]).toEqual(['exception', 'done']);
  });

  test('takes frames of a module away before it writes them, and gives them back empty', () => {
    const seen = new Set<string>();
    let look = (): void => {};
    const guest = sealed({ processor, onYield: () => look() });
    look = () => seen.add(can(guest, FREE));
    guest.cpu.store(kernelVa(FREE * 4096), 8, 0n);
    expect(load(guest)).toBe(2);
    expect([...seen]).toContain('---');
    expect([can(guest, FREE), fetch(guest, FREE), store(guest, FREE)]).toEqual(['r-x', 'done', 'exception']);
    expect(guest.hypercall(CALL.CODE_RETIRE, 2, 1)).toBe(0);
    expect([can(guest, INIT), bytesAt(guest, INIT, 0, 4)]).toEqual(['rw-', [0, 0, 0, 0]]);
    expect(guest.hypercall(CALL.CODE_RETIRE, 2)).toBe(0);
    expect([can(guest, FREE), bytesAt(guest, FREE, 0, 4)]).toEqual(['rw-', [0, 0, 0, 0]]);
  });
});

describe('the owner of the code', () => {
  test('is found by its version, and elsewhere there is none', () => {
    expect(booted().hypercall(CALL.CODE_SEAL, 0, 1)).toBe(CODE_ABI_VERSION);
    for (const number of [15, 16, 17, 18, 19, 20])
      expect(createGuest().hypercall(number, 0, 1)).toBe(-KvmError.ENOSYS);
    expect(createKvm({ authenticate: SIGNED }).capabilities.authenticates).toBe('code');
    expect(createKvm().capabilities).not.toHaveProperty('authenticates');
  });

  test('needs a processor that can withhold execution from the kernel', () => {
    expect(() => createKvm({ authenticate: SIGNED, mbec: false })).toThrow('mode-based execute control');
  });

  test('does not seal what is not what was signed', () => {
    const guest = booted();
    write(guest, TEXT, Uint8Array.of(0x90), 0x900);
    expect(seal(guest)).toBe(-Errno.EBADMSG);
    expect(fetch(guest, DATA)).toBe('done');
    expect(guest.of('code-request').at(-1)?.refused).toContain('0x900');
  });

  test('takes the states that sites have at the seal, and no other', () => {
    const guest = booted();
    expect(seal(guest, [{ site: 1, state: 1 }])).toBe(-Errno.EBADMSG);
    write(guest, TEXT, Uint8Array.from(JUMP), 0x40);
    expect(seal(guest, [{ site: 2, state: 1 }])).toBe(-Errno.EINVAL);
    expect(seal(guest, [{ site: 1, state: 1 }])).toBe(1);
    expect(seal(guest, [{ site: 1, state: 1 }])).toBe(-Errno.EPERM);
  });

  test('changes sites that may change, all of a request or none, with every processor stopped', () => {
    const guest = sealed();
    expect(poke(guest, [1, 0, 1])).toBe(0);
    expect(bytesAt(guest, TEXT, 0x10, 5)).toEqual(JUMP);
    expect(guest.vm.statistics.kicks).toBe(2);
    expect(poke(guest, [1, 0, 0], [1, 1, 1])).toBe(-Errno.EACCES);
    expect(bytesAt(guest, TEXT, 0x10, 5)).toEqual(JUMP);
    expect(poke(guest, [1, 0, 2])).toBe(-Errno.ERANGE);
    expect(poke(guest, [1, 7, 1])).toBe(-Errno.ENXIO);
    expect(poke(guest, [7, 0, 1])).toBe(-Errno.ESRCH);
    expect(bytesAt(guest, TEXT, 0x40, 5)).toEqual(NOP5);
  });

  test('ends the power of hypercall 14 to make something executable', () => {
    const guest = booted();
    const RX = MEM_ATTR_READ | MEM_ATTR_EXEC;
    expect(guest.protect([range(TEXT, TEXT + 1, RX), range(DATA, DATA + 1, RX)])).toBe(0);
    expect(fetch(guest, DATA)).toBe('done');
    expect(seal(guest)).toBe(1);
    expect(fetch(guest, DATA)).toBe('exception');
    expect(guest.protect([range(DATA, DATA + 1, RX)])).toBe(-KvmError.EPERM);
    expect(guest.protect([range(TEXT, TEXT + 2, RX)])).toBe(-KvmError.EPERM);
    expect(guest.protect([range(DATA, DATA + 1, MEM_ATTR_READ | MEM_ATTR_WRITE)])).toBe(0);
    // What it withholds is withheld as before, and what it grants beside execution cannot widen.
    expect(guest.protect([range(TEXT, TEXT + 1, RX | MEM_ATTR_WRITE)])).toBe(0);
    expect(store(guest, TEXT)).toBe('exception');
  });

  test('binds host frames: another name of text is text, and its bytes are not free', () => {
    const guest = sealed();
    const alias = 0x8000;
    guest.vm.addMemory({ start: alias as Gfn, frames: 1, backing: (BACKING + TEXT) as Pfn });
    expect(can(guest, alias)).toBe('r-x');
    expect(load(guest, alias)).toBe(-Errno.EBUSY);
  });

  test('refuses files that are not signed, and requests that cannot be read', () => {
    const guest = sealed();
    write(guest, FILE, Uint8Array.of(0));
    expect(load(guest)).toBe(-Errno.EKEYREJECTED);
    for (const number of [15, 16, 17]) {
      expect(guest.hypercall(number, 0)).toBe(-Errno.EINVAL);
      expect(guest.hypercall(number, 0xffff_f000)).toBe(-Errno.EFAULT);
    }
    expect(guest.hypercall(CALL.CODE_RETIRE, 1n << 40n)).toBe(-Errno.EINVAL);
    expect(guest.hypercall(CALL.CODE_TRAMPOLINE, 5, 0, 0)).toBe(-Errno.EINVAL);
    expect(guest.hypercall(CALL.CODE_TRAMPOLINE, 0, 0x21_0008, MODULE_BASE)).toBe(-Errno.EINVAL);
  });

  test('makes a page from a template', () => {
    const guest = sealed();
    expect(guest.hypercall(CALL.CODE_TRAMPOLINE, 0, FREE * 4096, MODULE_BASE)).toBe(2);
    expect([can(guest, FREE), bytesAt(guest, FREE, 0, 2)]).toEqual(['r-x', [0xc3, 0xcc]]);
  });

  test('judges compiled programs, and says by its version that it does', () => {
    const guest = sealed();
    expect([guest.hypercall(CALL.CODE_SEAL, 0, CODE_VERSION), CODE_ABI_VERSION]).toEqual([2, 2]);
    const pack = { parts: [partAt(MODULE_BASE, FREE)], states: [] };
    for (const [index, page] of encodeCodeSeal(pack, LISTS).entries()) write(guest, LIST_FRAME + index, page);
    expect(guest.hypercall(CALL.CODE_JIT, AT, 0, CodeJit.MAKE_PACK)).toBe(2);
    expect([can(guest, FREE), bytesAt(guest, FREE, 0, 1)]).toEqual(['r-x', [0xcc]]);
    expect(store(guest, FREE)).not.toBe('completed');

    const slot = (2n << 32n) + 2n;
    const add = (program: readonly number[], more = {}): number => {
      write(guest, FILE, Uint8Array.from(program));
      const file = { bytes: program.length, extents: codeExtents([FILE as Gfn]) };
      const list = encodeCodeLoad({ file, parts: [], states: [], ...more }, LISTS);
      for (const [index, page] of list.entries()) write(guest, LIST_FRAME + index, page);
      return guest.hypercall(CALL.CODE_JIT, AT, slot, CodeJit.ADD_PROGRAM);
    };
    const program = [0x55, 0x48, 0x89, 0xe5, 0x31, 0xc0, 0xc9, 0xc3];
    expect(add([0x0f, 0x30, ...program])).toBe(-Errno.EACCES);
    expect(add(program, { parts: [partAt(MODULE_BASE, FREE)] })).toBe(-Errno.EINVAL);
    expect(add(program)).toBe(0);
    expect(bytesAt(guest, FREE, 127, 10)).toEqual([0xcc, ...program, 0xcc]);
    expect(add(program)).toBe(-Errno.EBUSY);
    expect(guest.hypercall(CALL.CODE_JIT, AT, slot, CodeJit.REMOVE_PROGRAM)).toBe(-Errno.EINVAL);
    expect(guest.hypercall(CALL.CODE_JIT, 0, slot, CodeJit.REMOVE_PROGRAM)).toBe(0);
    expect(guest.hypercall(CALL.CODE_JIT, 0, slot, CodeJit.REMOVE_PROGRAM)).toBe(-Errno.ESRCH);
    expect(guest.hypercall(CALL.CODE_JIT, AT, slot, 3)).toBe(-Errno.EINVAL);
    expect(guest.hypercall(CALL.CODE_RETIRE, 2, 0)).toBe(0);
    expect([can(guest, FREE), bytesAt(guest, FREE, 128, 1)]).toEqual(['rw-', [0]]);
  });

  test('hears the kernel alone', () => {
    const guest = sealed();
    guest.cpu.registers.cpl = 3;
    expect(guest.hypercall(CALL.CODE_POKE, AT)).toBe(-KvmError.EPERM);
  });
});

describe('a life with sealed code', () => {
  test('goes on after INIT, begins anew after a reset, and outlives kexec', () => {
    const guest = sealed();
    guest.vm.lifeCycle({ kind: 'init', vcpu: 0 });
    expect(can(guest, DATA)).toBe('rw-');
    guest.vm.lifeCycle({ kind: 'kexec' });
    expect(can(guest, DATA)).toBe('rw-');
    guest.vm.lifeCycle({ kind: 'reset' });
    expect([can(guest, DATA), can(guest, TEXT)]).toEqual(['rwx', 'rwx']);
  });

  test('is saved and restored with its images, and a damaged state changes nothing', () => {
    const guest = sealed();
    expect(load(guest)).toBe(2);
    expect(poke(guest, [1, 0, 1], [2, 0, 1])).toBe(0);
    const state = structuredClone(guest.vm.save());
    if (state === undefined) throw new Error('nothing was saved');
    guest.vm.lifeCycle({ kind: 'reset' });
    expect(guest.vm.restore(state)).toBe(true);
    expect([TEXT, FREE, DATA].map((frame) => can(guest, frame))).toEqual(['r-x', 'r-x', 'rw-']);
    expect(poke(guest, [1, 0, 0], [2, 0, 0])).toBe(0);
    const own = state.own as { backend: string; code: Record<string, unknown> };
    const [image] = own.code.images as { frames: number[][]; states: number[] }[];
    for (const damage of [
      { images: 7 },
      { images: [] },
      { nextId: 1 },
      { sealed: 'yes' },
      { chain: { head: new Uint8Array(3), length: 0 } },
      { images: [{ ...image, states: [9, 0] }] },
      { images: [{ ...image, frames: [[1, 2]] }] },
      { images: [image, image] },
    ]) {
      const bad = { ...state, own: { ...own, code: { ...own.code, ...damage } } };
      expect(() => guest.vm.restore(bad), JSON.stringify(Object.keys(damage))).toThrow('own.code');
      expect(can(guest, FREE)).toBe('r-x');
    }
    expect(() => createGuest().vm.restore(state)).toThrow('own.code');
  });

  test('has a saved state of its own, which neither later requests nor later lives change', () => {
    const guest = sealed();
    load(guest);
    const state = guest.vm.save();
    if (state === undefined) throw new Error('nothing was saved');
    const kept = structuredClone(state);
    for (let time = 0; time < 2; time++) {
      expect(guest.hypercall(CALL.CODE_RETIRE, 2, 1)).toBe(0);
      expect(state).toEqual(kept);
      expect(guest.vm.restore(state)).toBe(true);
      expect([guest.vm.save(), can(guest, INIT)]).toEqual([kept, 'r-x']);
    }
  });

  test('is not saved where a weaker owner keeps what no state has', () => {
    for (const defect of ['B-A1', 'B-A8'] as const) {
      const guest = booted({ defects: { [defect]: true } });
      expect(guest.vm.save()).toBeDefined();
      seal(guest);
      expect(guest.vm.save(), defect).toBeUndefined();
    }
  });

  test('takes a kexec that clears once no request is under way', () => {
    const outcomes = new Set<string>();
    let look = (): void => {};
    const guest = sealed({ lifeCycle: { kexec: 'clear' }, onYield: () => look() });
    look = () => {
      try {
        guest.vm.lifeCycle({ kind: 'kexec' });
      } catch (error) {
        outcomes.add(String(error));
      }
    };
    expect(load(guest)).toBe(2);
    expect([...outcomes]).toEqual(['VcpuWaits: another processor is in the middle of a request']);
    expect([TEXT, FREE, INIT].map((frame) => can(guest, frame))).toEqual(['r-x', 'r-x', 'r-x']);
    look = () => {};
    guest.vm.lifeCycle({ kind: 'kexec' });
    expect(can(guest, TEXT)).toBe('rwx');
  });

  test('comes back with a checkpoint, names of host frames too', () => {
    const guest = booted({ defects: { 'B-A8': true } });
    const alias = 0x5000;
    guest.vm.addMemory({ start: alias as Gfn, frames: 1, backing: (BACKING + TEXT) as Pfn });
    const sealAs = (frame: number): number =>
      ask(guest, CALL.CODE_SEAL, encodeCodeSeal({ parts: [partAt(KERNEL_BASE, frame)], states: [] }, LISTS));
    for (const back of [guest.vm.checkpoint?.(), () => guest.vm.lifeCycle({ kind: 'reset' })]) {
      expect([sealAs(alias), can(guest, alias), can(guest, TEXT)]).toEqual([1, 'r-x', 'rwx']);
      back?.();
      expect([sealAs(TEXT), can(guest, alias), can(guest, TEXT)]).toEqual([1, 'rwx', 'r-x']);
      guest.vm.lifeCycle({ kind: 'reset' });
    }
  });

  test('comes back with a checkpoint', () => {
    const guest = sealed();
    const back = guest.vm.checkpoint?.();
    load(guest);
    back?.();
    expect(can(guest, FREE)).toBe('rw-');
    // Memory is the host's to bring back.
    for (const frame of [FREE, INIT]) write(guest, frame, new Uint8Array(4096));
    expect(load(guest)).toBe(2);
  });

  test('has no L2', () => {
    const guest = booted();
    const other = guest.addCpu();
    const pointer = BigInt(0x300 * 4096) | 0x1en;
    expect(guest.vm.enterNested(other, pointer)).toBe(true);
    expect(seal(guest)).toBe(1);
    expect(guest.vm.enterNested(other, pointer)).toBe(false);
  });
});

// What was compared, and found to be what was signed, could otherwise change before it is frozen.
test('no processor stores to the text while it is sealed', () => {
  const acted: string[] = [];
  let act = (_at: YieldPoint): void => {};
  const guest = booted({ onYield: (at) => act(at) });
  const other = guest.addCpu();
  const storeEvil = (): string => other.store(kernelVa(TEXT * 4096), 8, 0x0b0fn).kind;
  // So that there is a leaf to be zapped, and something cached.
  other.load(kernelVa(TEXT * 4096), 8);
  act = (at) => {
    if (at === 'zap' || at === 'flush') acted.push(storeEvil());
  };
  const before = bytesAt(guest, TEXT, 0, 8);
  expect(seal(guest)).toBe(1);
  expect([acted, bytesAt(guest, TEXT, 0, 8)]).toEqual([[], before]);
  expect(storeEvil()).toBe('exception');
});

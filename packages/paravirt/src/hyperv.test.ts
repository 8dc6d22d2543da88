import { decodeLvbsRanges, decodeLvbsTextPatch } from '@heki/hypercall/hyperv';
import { encodePageList } from '@heki/hypercall/kvm';
import {
  addressOf,
  createFrameAllocator,
  createRam,
  type Gfn,
  type Gpa,
  gfn,
  gpa,
  readBytes,
  virtualAddress,
  writeBytes,
} from '@heki/physical-memory';
import { expect, test } from 'vitest';
import { type HypervDriverOptions, type HypervDriverVcpu, initHekiOnHyperv } from './hyperv.ts';
import type { HekiPort } from './kvm.ts';

/** A kernel with `pages` free pages above a virtual CPU whose secure kernel gives `answers` in turn. */
function driver(pages: number, answers: number[] = [], options: Partial<HypervDriverOptions> = {}) {
  const memory = createRam<Gfn>({ ranges: [{ start: gfn(0), end: gfn(256) }] });
  const free = createFrameAllocator<Gfn>({ ranges: [{ start: gfn(16), end: gfn(16 + pages) }] });
  const calls: string[] = [];
  const lists: string[][] = [];
  const registers = { rax: 1n, rcx: 2n, rdx: 3n, rsi: 4n, rdi: 5n, r8: 6n };
  const vcpu: HypervDriverVcpu = {
    registers,
    interruptContext: true,
    vmcall() {
      const { rcx, rdi, rsi, rdx, r8 } = registers;
      if (rcx === 0x1_000dn) {
        registers.rax = rdx === 0xffff_ffff_ffff_ffffn && r8 === 1n ? 134n : 5n;
        return { kind: 'done', value: undefined };
      }
      calls.push([rcx, rdi, rsi, rdx].map((value) => value.toString(16)).join(' '));
      const decoded = decodeLvbsRanges({ memory, first: rsi, total: rdx });
      if (decoded.ok) {
        lists.push(
          decoded.message.map(
            ({ pa, epa, attributes }) => `${pa.toString(16)}-${epa.toString(16)} ${attributes}`,
          ),
        );
      }
      registers.r8 = BigInt.asUintN(64, BigInt(answers.shift() ?? 0));
      return { kind: 'done', value: undefined };
    },
  };
  const guest: HekiPort = { hypervisor: undefined };
  const supported = initHekiOnHyperv(guest, {
    vcpu: () => vcpu,
    memory: {
      memory,
      allocatePage: () => free.allocate(),
      freePage: (frame) => free.free(frame),
      store: (frame, offset, bytes) =>
        writeBytes(memory, (addressOf(frame) + offset) as Gpa, bytes) === bytes.length,
    },
    ...options,
  });
  const list = (count: number) =>
    encodePageList({
      memory,
      frames: [gfn(1), gfn(2), gfn(3)],
      ranges: Array.from({ length: count }, (_, i) => ({
        start: gfn(0x1000 + 2 * i),
        end: gfn(0x1001 + 2 * i),
        permissions: 0b1101,
      })),
      directMap: virtualAddress(0xffff888000000000n),
    });
  return { guest, supported, calls, lists, registers, memory, free, list };
}

test('the core’s page list becomes pages of 127 ranges and one VTL call, and nothing else changes', () => {
  const { guest, supported, calls, lists, registers, free, list } = driver(8);
  expect(supported).toBe(true);
  const before = { ...registers };
  expect(guest.hypervisor?.lockCrs()).toBe(0);
  expect(guest.hypervisor?.protectMemory(list(300))).toBe(0);
  expect(calls).toEqual(['11 1ffe2 0 0', '11 1ffe4 10000 12c']);
  expect(lists).toHaveLength(1);
  expect(lists[0]).toHaveLength(300);
  expect(lists[0]?.slice(0, 2)).toEqual(['1000000-1001000 13', '1002000-1003000 13']);
  expect(registers).toEqual(before);
  expect(free.freeFrames).toBe(8);
});

test('with few pages left it makes several calls, stops at the first refusal, and gives -ENOMEM without any', () => {
  const some = driver(1, [0, -22, 0]);
  expect(some.guest.hypervisor?.protectMemory(some.list(300))).toBe(-22);
  expect(some.lists.map((ranges) => ranges.length)).toEqual([127, 127]);
  expect(some.free.freeFrames).toBe(1);
  const none = driver(1);
  none.free.allocate();
  expect(none.guest.hypervisor?.protectMemory(none.list(1))).toBe(-12);
  expect(none.calls).toEqual([]);
});

test('a page list that cannot be read is -EINVAL and makes no call', () => {
  const { guest, calls } = driver(4);
  expect(guest.hypervisor?.protectMemory(gpa(0x40_0000))).toBe(-22);
  expect(calls).toEqual([]);
});

test('only a kernel whose boot ends has the secure kernel’s calls; never the published one', () => {
  const warnings: string[] = [];
  const never = driver(4, [], { onWarning: (text) => warnings.push(text) });
  never.guest.hypervisor?.protectMemory(never.list(1));
  never.guest.hypervisor?.protectMemory(never.list(1));
  expect(never.calls.map((call) => call.split(' ')[1])).toEqual(['1ffe4', '1ffe4']);
  expect(warnings).toHaveLength(1);
  expect(never.guest.hypervisor?.secureKernel).toBeUndefined();
  const late = driver(4, [0, -1], { endOfBoot: 'after-late-init' });
  expect(late.guest.hypervisor?.protectMemory(late.list(1))).toBe(0);
  expect(late.guest.hypervisor?.secureKernel?.finishBoot()).toBe(-1);
  expect(late.calls.map((call) => call.split(' ')[1])).toEqual(['1ffe4', '1ffe3']);
  const published = driver(4, [], { endOfBoot: 'after-late-init', profile: 'rfc-v2' });
  expect(published.guest.hypervisor?.secureKernel).toBeUndefined();
});

test('modules, text patches and kexec go to VTL1 with what they are', () => {
  const { guest, calls, lists, memory } = driver(4, [7], { endOfBoot: 'after-late-init' });
  const secure = guest.hypervisor?.secureKernel;
  const sections = [
    { start: gpa(0x5_0000), end: gpa(0x5_2000), kind: 'text' },
    { start: gpa(0x5_2000), end: gpa(0x5_3000), kind: 'ro-after-init' },
  ] as const;
  expect(secure?.validateModule(sections, [])).toBe(7);
  expect(secure?.freeModuleInit(7)).toBe(0);
  expect(secure?.unloadModule(7)).toBe(0);
  expect(secure?.validateKexec(sections.slice(0, 1))).toBe(0);
  expect(secure?.validateModule([], [])).toBe(-22);
  expect(
    secure?.patchText({
      address: gpa(0x5_0ffe),
      secondPage: gpa(0x5_1000),
      bytes: Uint8Array.of(1, 2, 3),
    }),
  ).toBe(0);
  expect(calls.map((call) => call.split(' ').slice(1).join(' '))).toEqual([
    '1ffe6 10000 2',
    '1ffe7 7 0',
    '1ffe8 7 0',
    '1ffea 10000 1',
    '1ffeb 10000 0',
  ]);
  expect(lists[0]).toEqual(['50000-52000 0', '52000-53000 3']);
  const bytes = new Uint8Array(32);
  readBytes(memory, gpa(0x1_0000), bytes);
  const patch = decodeLvbsTextPatch(bytes);
  expect(patch).toEqual({
    ok: true,
    message: { pa: 0x5_0ffe, secondPa: 0x5_1000, bytes: Uint8Array.of(1, 2, 3) },
  });
});

test('patches go 128 to a page, one behind the other, with the module or for the kernel', () => {
  const { guest, lists, memory, free } = driver(8, [7], { endOfBoot: 'after-late-init' });
  const secure = guest.hypervisor?.secureKernel;
  const patches = Array.from({ length: 130 }, (_, index) => ({
    address: gpa(0x5_0000 + 8 * index),
    bytes: Uint8Array.of(0xe9, index, 0, 0, 0),
  }));
  const text = { start: gpa(0x5_0000), end: gpa(0x5_1000), kind: 'text' } as const;
  expect(secure?.validateModule([text], patches)).toBe(7);
  expect(lists[0]).toEqual(['50000-51000 0', '10000-11000 8', '11000-12000 8']);
  const bytes = new Uint8Array(96);
  readBytes(memory, gpa(0x1_1000), bytes);
  const decoded = [0, 32].map((at) => decodeLvbsTextPatch(bytes.subarray(at)));
  expect(decoded.map((patch) => patch.ok && [patch.message.pa, patch.message.bytes[1]])).toEqual([
    [0x5_0400, 128],
    [0x5_0408, 129],
  ]);
  expect(bytes.subarray(64)).toEqual(new Uint8Array(32));
  expect(secure?.loadPatches([])).toBe(0);
  expect(secure?.loadPatches(patches.slice(0, 1))).toBe(0);
  expect(lists.slice(1)).toEqual([['10000-11000 8']]);
  expect(free.freeFrames).toBe(8);
});

test('without pages for patches nothing is asked', () => {
  const { guest, calls, free } = driver(1, [], { endOfBoot: 'after-late-init' });
  const patch = { address: gpa(0x5_0000), bytes: Uint8Array.of(1) };
  const secure = guest.hypervisor?.secureKernel;
  expect(secure?.loadPatches(Array.from({ length: 129 }, () => patch))).toBe(-12);
  expect(calls).toEqual([]);
  expect(free.freeFrames).toBe(1);
});

test('without VTL1 there is no Heki', () => {
  for (const outcome of [
    { kind: 'done', value: undefined } as const,
    { kind: 'stopped', why: 'gone' } as const,
  ]) {
    const guest: HekiPort = { hypervisor: undefined };
    const registers = { rax: 0n, rcx: 0n, rdx: 0n, rsi: 0n, rdi: 0n, r8: 0n };
    const vcpu: HypervDriverVcpu = { registers, interruptContext: false, vmcall: () => outcome };
    const memory = createRam<Gfn>({ ranges: [{ start: gfn(0), end: gfn(1) }] });
    const port = { memory, allocatePage: () => undefined, freePage: () => {}, store: () => false };
    expect(initHekiOnHyperv(guest, { vcpu: () => vcpu, memory: port })).toBe(false);
    expect(guest.hypervisor).toBeUndefined();
  }
});

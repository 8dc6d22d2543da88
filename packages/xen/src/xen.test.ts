import { XenAccess, XenHekiRequest } from '@heki/hypercall/xen';
import type { Rights, Verdict } from '@heki/hypervisor';
import type { Gfn, Gpa, Pfn } from '@heki/physical-memory';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { askMonitor, requestRanges } from './testing/ask.ts';
import { createGuest, kernelVa, userVa } from './testing/guest.ts';

const range = (start: number, end: number, rights: Partial<Rights>, immutable = false) => ({
  start: start as Gfn,
  end: end as Gfn,
  rights: { read: true, write: false, supervisorExecute: false, userExecute: true, ...rights },
  immutable,
});
const PAGE = 0x800_000;

test("a store to text that the guest protected ends in the guest's page fault, by the monitor's verdict", () => {
  const { cpu, memory, exceptions, events } = createGuest();
  expect(requestRanges(cpu, memory, 0x60, [range(0x800, 0x900, { supervisorExecute: true }, true)])).toBe(0);
  expect(cpu.store(kernelVa(PAGE), 1, 1n).kind).toBe('exception');
  expect(exceptions).toEqual([{ vector: 14, errorCode: 3, cr2: kernelVa(PAGE) }]);
  expect(events.find(({ type }) => type === 'denied')).toMatchObject({ verdict: 'page-fault' });
  expect(cpu.fetch(kernelVa(PAGE)).kind).toBe('done');
  expect(requestRanges(cpu, memory, 0x60, [range(0x880, 0x881, { write: true })])).toBe(-1);
});

test("denying the kernel's execution alone is reported as weakened, and denies nothing", () => {
  const { vm, cpu } = createGuest();
  const wanted = range(0x800, 0x801, { write: true });
  expect(vm.protect([wanted]).weakened).toEqual([
    { range: wanted, granted: { read: true, write: true, supervisorExecute: true, userExecute: true } },
  ]);
  expect(cpu.fetch(kernelVa(PAGE)).kind).toBe('done');
  expect(vm.protect([range(0x801, 0x802, { userExecute: false })]).weakened).toEqual([]);
  expect(cpu.fetch(kernelVa(PAGE + 4096)).kind).toBe('exception');
  cpu.registers.cpl = 3;
  expect(cpu.fetch(userVa(PAGE + 4096)).kind).toBe('exception');
  expect(cpu.fetch(userVa(PAGE)).kind).toBe('done');
});

test.each([
  ['page-fault', 'exception', 0n],
  ['general-protection', 'exception', 0n],
  ['skip', 'done', 0n],
  ['allow-once', 'done', 7n],
  ['stop', 'stopped', 0n],
] as const satisfies readonly (readonly [Verdict, string, bigint])[])(
  'the verdict %s ends a denied store with %s',
  (memoryVerdict, outcome, stored) => {
    const { vm, cpu, memory, events } = createGuest({ memoryVerdict });
    vm.protect([range(0x800, 0x801, {})]);
    expect(cpu.store(kernelVa(PAGE), 4, 7n).kind).toBe(outcome);
    expect(BigInt(memory.page(0x800 as Gfn)?.[0] ?? 0)).toBe(stored);
    cpu.store(kernelVa(PAGE), 4, 7n);
    if (memoryVerdict !== 'stop') expect(events.filter(({ type }) => type === 'denied')).toHaveLength(2);
  },
);

test('pinned bits stay set: the CR write event is answered with #GP, or with DENY and the old value', () => {
  for (const [registerVerdict, kind] of [
    ['general-protection', 'exception'],
    ['skip', 'done'],
  ] as const) {
    const { cpu } = createGuest({ registerVerdict });
    const { cr0, cr4 } = cpu.registers;
    expect(askMonitor(cpu, XenHekiRequest.PIN_CONTROL_REGISTER, 0n, 0x1_0000n)).toBe(0);
    expect(askMonitor(cpu, XenHekiRequest.PIN_CONTROL_REGISTER, 4n, 0x1_0800n)).toBe(0);
    expect(askMonitor(cpu, XenHekiRequest.PIN_CONTROL_REGISTER, 4n, 0x20_0000n)).toBe(-22);
    expect(cpu.movToCr(0, cr0 & ~0x1_0000n).kind).toBe(kind);
    expect(cpu.movToCr(4, cr4 & ~0x800n).kind).toBe(kind);
    expect(cpu.registers).toMatchObject({ cr0, cr4 });
    expect(cpu.movToCr(4, cr4 & ~0x80n).kind).toBe('done');
    expect(cpu.registers.cr4).toBe(cr4 & ~0x80n);
  }
});

test('a pinned MSR keeps its value and a pinned table register takes no load', () => {
  const { vm, cpu } = createGuest();
  cpu.wrmsr(0xc000_0082, 0x1000n);
  expect(vm.pin({ registers: [{ msr: 0xc000_0082 }, 'idtr', 'cr3'] }).dropped.registers).toEqual(['cr3']);
  expect(cpu.wrmsr(0xc000_0082, 0x2000n).kind).toBe('exception');
  expect(cpu.wrmsr(0xc000_0082, 0x1000n).kind).toBe('done');
  expect(cpu.lidt(kernelVa(0x5000), 0xfff).kind).toBe('exception');
  expect(cpu.lgdt(kernelVa(0x5000), 0x7f).kind).toBe('done');
  expect(cpu.registers.gdtr).toEqual({ base: kernelVa(0x5000), limit: 0x7f });
});

test('after INIT a processor may come to its pinned registers again, and is bound when it has them', () => {
  const { vm, cpu } = createGuest();
  const gdt = { base: kernelVa(0x5000), limit: 0x7f };
  cpu.wrmsr(0xc000_0082, 0x1000n);
  cpu.lgdt(gdt.base, gdt.limit);
  vm.pin({ registers: [{ msr: 0xc000_0082 }, 'gdtr'] });
  vm.lifeCycle({ kind: 'init', vcpu: 0 });
  // INIT left the MSR as it was, so nothing about it is free.
  expect(cpu.wrmsr(0xc000_0082, 0x2000n).kind).toBe('exception');
  // The trampoline's own table first.
  for (const [base, limit] of [
    [kernelVa(0x9000), 0x1f],
    [gdt.base, gdt.limit],
  ] as const) {
    expect(cpu.lgdt(base, limit).kind).toBe('done');
  }
  expect(cpu.wrmsr(0xc000_0082, 0x1000n).kind).toBe('done');
  expect(cpu.wrmsr(0xc000_0082, 0x2000n).kind).toBe('exception');
  expect(cpu.lgdt(kernelVa(0x9000), 0x1f).kind).toBe('exception');
  expect(cpu.registers.gdtr).toEqual(gdt);
});

test('a domain that the monitor ends for a register write goes down without it', () => {
  const { vm, cpu } = createGuest({ registerVerdict: 'stop' });
  vm.pin({ cr4: 0x800n });
  const { cr4 } = cpu.registers;
  expect(cpu.movToCr(4, cr4 & ~0x800n).kind).toBe('stopped');
  expect(cpu.registers.cr4).toBe(cr4);
});

test("an immutable page is the monitor's own rule: the guest cannot change it, the monitor can", () => {
  const { vm, cpu, memory } = createGuest();
  vm.protect([range(0x800, 0x801, { write: false }, true)]);
  const all = [range(0x800, 0x801, {})];
  expect(requestRanges(cpu, memory, 0x60, all)).toBe(-1);
  expect(vm.protect(all).refused).toBeUndefined();
  expect(requestRanges(cpu, memory, 0x60, all)).toBe(0);
});

test('rx2rw and n2rwx change at the first access and pause no virtual CPU', () => {
  const { vm, cpu, events } = createGuest();
  vm.views.setAccess(0, 0x800 as Gfn, 0x801 as Gfn, XenAccess.RX2RW);
  vm.views.setAccess(0, 0x801 as Gfn, 0x802 as Gfn, XenAccess.N2RWX);
  expect(cpu.fetch(kernelVa(PAGE)).kind).toBe('done');
  expect(cpu.store(kernelVa(PAGE), 1, 1n).kind).toBe('done');
  expect(vm.views.accessOf(0, 0x800 as Gfn)).toBe(XenAccess.RW);
  expect(cpu.fetch(kernelVa(PAGE)).kind).toBe('exception');
  expect(cpu.load(kernelVa(PAGE + 4096), 1).kind).toBe('done');
  expect(vm.views.accessOf(0, 0x801 as Gfn)).toBe(XenAccess.RWX);
  expect(events.filter(({ type }) => type === 'vm-event')).toHaveLength(2);
});

test('what EPT cannot hold is refused: w and wx', () => {
  const { vm } = createGuest();
  for (const access of [XenAccess.W, XenAccess.WX]) {
    expect(vm.views.setAccess(0, 0x800 as Gfn, 0x801 as Gfn, access)).toEqual({ pages: 0, error: -22 });
  }
  expect(vm.views.setAccess(0, 0x8000 as Gfn, 0x8001 as Gfn, XenAccess.R).error).toBe(-3);
});

test('a view starts empty, copies entries as they are needed, and has rights of its own', () => {
  const { vm, cpu, events } = createGuest();
  const view = vm.views.create(XenAccess.RX);
  expect(view).toBe(1);
  vm.views.setAccess(view, 0x40 as Gfn, 0x43 as Gfn, XenAccess.RWX);
  expect(vm.views.switchTo(view)).toBe(0);
  expect(vm.views.destroy(view)).toBe(-22);
  expect(cpu.load(kernelVa(PAGE), 1).kind).toBe('done');
  expect(events.some(({ type }) => type === 'propagated')).toBe(true);
  expect(cpu.registers.cr3).toBe(0x40000n);
  vm.views.setAccess(view, 0x800 as Gfn, 0x801 as Gfn, XenAccess.RWX);
  expect(cpu.store(kernelVa(PAGE), 1, 1n).kind).toBe('done');
  expect(cpu.store(kernelVa(PAGE + 4096), 1, 1n).kind).toBe('exception');
  expect(vm.views.switchTo(0)).toBe(0);
  expect(cpu.store(kernelVa(PAGE + 4096), 1, 1n).kind).toBe('done');
  expect(vm.views.destroy(view)).toBe(0);
  expect(vm.views.switchTo(view)).toBe(-22);
});

test('an operation that runs out of tables has done the pages before it', () => {
  const { vm } = createGuest({}, 5);
  const failed = Array.from({ length: 6 }, (_, index) => {
    const start = (0x800 * (index + 1) + 3) as Gfn;
    return vm.views.setAccess(0, start, (start + 0x400) as Gfn, XenAccess.R);
  }).find(({ error }) => error !== 0);
  expect(failed?.error).toBe(-12);
  expect(failed?.pages).toBeLessThan(0x400);
});

test('virtual CPUs wait while the monitor does not run, and a full ring makes the next one wait too', () => {
  const { vm, addCpu, cpu } = createGuest({ monitor: 'by-hand' });
  vm.protect([range(0x800, 0x801, {})]);
  const cpus = [cpu, ...Array.from({ length: 9 }, addCpu)];
  const stores = cpus.map((each) => each.stepwise.store(kernelVa(PAGE), 1, 1n));
  for (const store of stores) expect(store.next(true)).toEqual({ value: 'retry', done: false });
  expect(vm.statistics.events).toBe(8);
  expect(vm.statistics.pauses).toBe(10);
  for (const store of stores) expect(store.next(true).done).toBe(false);
  const endings: unknown[] = [];
  for (let round = 0; round < 4; round++) {
    vm.runMonitor();
    for (const store of stores) {
      for (let turn = 0; turn < 3; turn++) {
        const { done, value } = store.next(true);
        if (done === true && value !== undefined) endings.push(value.kind);
      }
    }
  }
  expect(endings).toEqual(Array.from({ length: 10 }, () => 'exception'));
});

test('whatever another domain writes over the ring, Xen goes on', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.integer({ min: 0, max: 1023 }), fc.integer({ min: 0, max: 2 ** 32 - 1 })), {
        maxLength: 40,
      }),
      (words) => {
        const { vm, cpu, memory } = createGuest();
        vm.protect([range(0x800, 0x801, {})]);
        for (const [word, value] of words) {
          vm.ring[word % 16] = value;
          vm.ring[word] = value;
          cpu.store(kernelVa(PAGE), 1, 1n);
        }
        expect(memory.page(0x800 as Gfn)?.[0]).toBe(0);
      },
    ),
    { numRuns: 40 },
  );
});

test('devices meet the rights only where the IOMMU uses the p2m', () => {
  for (const iommuSharesP2m of [false, true]) {
    const { vm } = createGuest({ iommuSharesP2m });
    vm.protect([range(0x800, 0x801, {})]);
    expect(vm.write('dma', PAGE as Gpa, new Uint8Array(4)).ok).toBe(!iommuSharesP2m);
    expect(vm.write('vmm', PAGE as Gpa, new Uint8Array(4)).ok).toBe(true);
  }
});

test('every event has a line, and a guest may not ask Xen about itself', () => {
  const { xen, cpu, events, vm } = createGuest();
  vm.protect([range(0x800, 0x801, {})]);
  cpu.store(kernelVa(PAGE), 1, 1n);
  Object.assign(cpu.registers, { rax: 12n, rdi: 21n });
  cpu.vmcall();
  expect(BigInt.asIntN(64, cpu.registers.rax)).toBe(-1n);
  expect(events.map((event) => xen.describe(event))).toEqual([
    'access rx for gfns 0x800-0x801 in view 0: 1 pages',
    'protection by policy-owner: 1 applied, 0x800-0x801 weakened to r-xu',
    'vm_event of vCPU 0: MEM_ACCESS w of gfn 0x800+0x0',
    'denied by the monitor: write of guest-physical 0x800000 through 0xffff888000800000, page-fault',
    'reply to vCPU 0, flags 0x1',
  ]);
  expect(vm.tablePages).toBeGreaterThan(3);
  expect((vm.vcpus[0]?.memory.page(0x1000 as Pfn) ?? []).length).toBe(1024);
});

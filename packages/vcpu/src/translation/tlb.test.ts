import type { Gpa } from '@heki/physical-memory';
import { CR0, CR4, EFER } from '@heki/x86';
import { expect, test } from 'vitest';
import type { VcpuEvent } from '../event.ts';
import { machine, PTE, Tables, va, XD } from '../testing/machine.ts';
import { ALL, ListedSecondLevel } from '../testing/second-level.ts';
import type { Vcpu } from '../vcpu.ts';
import { TranslationTags } from './tags.ts';

const KERNEL = va(0xffff_8880_0000_0000n);
const USER = va(0x40_0000n);
const RW = PTE.P | PTE.W;

const stores = (cpu: Vcpu, address = KERNEL): boolean => cpu.store(address, 8, 1n).kind === 'done';
const loads = (cpu: Vcpu, address = KERNEL): boolean => cpu.load(address, 8).kind === 'done';
const fetches = (cpu: Vcpu, address = KERNEL): boolean => cpu.fetch(address).kind === 'done';

/** Two virtual CPUs over the same tables. */
function pair(): { one: Vcpu; two: Vcpu; tables: ReturnType<typeof machine>['tables'] } {
  const { cpu: one, memory, tables } = machine();
  const { cpu: two } = machine({ id: 1, memory });
  two.registers.cr3 = one.registers.cr3;
  return { one, two, tables };
}

test('a right that one virtual CPU takes away is used by another until that one flushes', () => {
  const { one, two, tables } = pair();
  tables.map(KERNEL, 200, RW);
  expect([stores(one), stores(two)]).toEqual([true, true]);
  tables.change(KERNEL, PTE.W);
  one.invlpg(KERNEL);
  expect([stores(one), stores(two)]).toEqual([false, true]);
  two.invlpg(KERNEL);
  expect([stores(one), stores(two)]).toEqual([false, false]);
});

test('a right that was added is seen at once: a miss of rights is walked again', () => {
  const { one, tables } = pair();
  tables.map(KERNEL, 200, PTE.P, XD);
  expect([loads(one), stores(one), fetches(one)]).toEqual([true, false, false]);
  tables.map(KERNEL, 200, RW);
  expect([stores(one), fetches(one)]).toEqual([true, true]);
});

test('a fault drops what is cached for its address', () => {
  const { one, tables } = pair();
  tables.map(KERNEL, 200, PTE.P);
  expect(loads(one)).toBe(true);
  tables.change(KERNEL, PTE.P);
  expect(loads(one)).toBe(true);
  expect(stores(one)).toBe(false);
  expect(loads(one)).toBe(false);
});

test('a store through a clean cached entry walks again and sets D; the entry is not asked about A again', () => {
  const { one, tables } = pair();
  tables.map(KERNEL, 200, RW);
  loads(one);
  expect(tables.low(KERNEL) & (PTE.A | PTE.D)).toBe(PTE.A);
  stores(one);
  expect(tables.low(KERNEL) & (PTE.A | PTE.D)).toBe(PTE.A | PTE.D);
  tables.change(KERNEL, PTE.A | PTE.D);
  stores(one);
  expect(tables.low(KERNEL) & (PTE.A | PTE.D)).toBe(0);
  one.invlpg(KERNEL);
  stores(one);
  expect(tables.low(KERNEL) & (PTE.A | PTE.D)).toBe(PTE.A | PTE.D);
});

test('entries hold rights and keys, no verdict: CPL, AC, WP, SMEP, SMAP, PKRU and PKRS count on every hit', () => {
  const { one, tables } = pair();
  tables.map(USER, 201, RW | PTE.U, 1 << 27);
  tables.map(KERNEL, 200, PTE.P | PTE.D, 1 << 27);
  const { registers } = one;
  registers.cr4 |= CR4.PKE | CR4.PKS;
  one.stac();
  expect([stores(one, USER), loads(one)]).toEqual([true, true]);
  // From here on the tables are gone: only what is cached answers.
  tables.change(USER, PTE.P);
  tables.change(KERNEL, PTE.P);
  one.wrpkru(4);
  const verdicts: boolean[] = [];
  const judge = (): void => {
    // A refusal would drop the entry, so each verdict is read from a twin of the cache: the entry is cached again.
    tables.change(USER, 0, PTE.P);
    tables.change(KERNEL, 0, PTE.P);
    verdicts.push(loads(one, USER), stores(one));
    registers.pkru = 0;
    registers.pkrs = 0;
    one.stac();
    loads(one, USER);
    loads(one);
    tables.change(USER, PTE.P);
    tables.change(KERNEL, PTE.P);
  };
  judge();
  expect(verdicts).toEqual([false, false]);
  one.wrpkru(8);
  expect([loads(one, USER), loads(one)]).toEqual([true, true]);
  one.clac();
  judge();
  expect(verdicts.slice(2)).toEqual([false, false]);
  expect(one.movToCr(0, registers.cr0 & ~CR0.WP)).toMatchObject({ kind: 'done' });
  expect(stores(one)).toBe(true);
  one.wrmsr(0x6e1, 8n);
  expect(stores(one)).toBe(true);
  one.wrmsr(0x6e1, 4n);
  judge();
  expect(verdicts.slice(4)).toEqual([true, false]);
  registers.cpl = 3;
  expect(stores(one, USER)).toBe(true);
});

test('two pages that differ only in their key are judged apart, hit after hit', () => {
  const { one, tables } = pair();
  const other = va(KERNEL + 4096n);
  tables.map(KERNEL, 200, RW, 1 << 27);
  tables.map(other, 201, RW, 2 << 27);
  one.registers.cr4 |= CR4.PKS;
  for (const [key, verdicts] of [
    [1, [false, true]],
    [2, [true, false]],
  ] as const) {
    one.wrmsr(0x6e1, 0n);
    expect([stores(one), stores(one, other)]).toEqual([true, true]);
    one.wrmsr(0x6e1, 1n << BigInt(2 * key));
    for (let twice = 0; twice < 2; twice++) expect([loads(one), loads(one, other)]).toEqual(verdicts);
  }
});

test('MOV to CR3 drops what is not global; with PCIDs only those of the new one, and nothing with bit 63', () => {
  const { one, tables } = pair();
  const other = va(KERNEL + 4096n);
  tables.map(KERNEL, 200, RW);
  tables.map(other, 201, RW | PTE.G);
  const remap = (): void => {
    tables.change(KERNEL, 0, RW);
    tables.change(other, 0, RW);
    expect([stores(one), stores(one, other)]).toEqual([true, true]);
    tables.change(KERNEL, PTE.W);
    tables.change(other, PTE.W);
  };
  const root = one.registers.cr3;
  remap();
  one.movToCr(3, root);
  expect([stores(one), stores(one, other)]).toEqual([false, true]);

  one.movToCr(4, one.registers.cr4 | CR4.PCIDE);
  one.movToCr(3, root | 1n);
  remap();
  one.movToCr(3, root | 2n);
  expect([stores(one), stores(one, other)]).toEqual([false, true]);
  one.movToCr(3, root | 1n | (1n << 63n));
  expect([stores(one), stores(one, other)]).toEqual([true, true]);
  one.movToCr(3, root | 1n);
  expect([stores(one), stores(one, other)]).toEqual([false, true]);
  expect(one.registers.cr3).toBe(root | 1n);
});

test('INVPCID drops by address, by PCID, and all with and without global pages', () => {
  const { one, tables } = pair();
  const other = va(KERNEL + 4096n);
  tables.map(KERNEL, 200, RW);
  tables.map(other, 201, RW | PTE.G);
  const root = one.registers.cr3;
  one.registers.cr4 |= CR4.PCIDE;
  const cached = (pcid: bigint): [boolean, boolean] => {
    one.movToCr(3, root | pcid | (1n << 63n));
    return [stores(one), stores(one, other)];
  };
  const remap = (): void => {
    tables.change(KERNEL, 0, RW);
    tables.change(other, 0, RW);
    cached(1n);
    cached(2n);
    tables.change(KERNEL, PTE.W);
    tables.change(other, PTE.W);
  };
  remap();
  expect(one.invpcid(0, 1, KERNEL)).toMatchObject({ kind: 'done' });
  expect(one.invpcid(0, 1, other)).toMatchObject({ kind: 'done' });
  expect(cached(2n)).toEqual([true, true]);
  expect(cached(1n)).toEqual([false, true]);
  remap();
  one.invpcid(1, 2, KERNEL);
  expect([cached(1n), cached(2n)]).toEqual([
    [true, true],
    [false, true],
  ]);
  remap();
  one.invpcid(3, 0, KERNEL);
  expect([cached(1n), cached(2n)]).toEqual([
    [false, true],
    [false, true],
  ]);
  remap();
  one.invpcid(2, 0, KERNEL);
  expect([cached(1n), cached(2n)]).toEqual([
    [false, false],
    [false, false],
  ]);
  expect(one.invpcid(4, 0, KERNEL)).toMatchObject({ vector: 13 });
  expect(one.invpcid(1, 4096, KERNEL)).toMatchObject({ vector: 13 });
  expect(one.invpcid(0, 0, va(1n << 60n))).toMatchObject({ vector: 13 });
  one.registers.cr4 &= ~CR4.PCIDE;
  expect(one.invpcid(1, 1, KERNEL)).toMatchObject({ vector: 13 });
});

test.each([
  ['toggling CR4.PGE', (cpu: Vcpu) => cpu.movToCr(4, cpu.registers.cr4 ^ CR4.PGE), false, false],
  ['setting CR4.SMEP', (cpu: Vcpu) => cpu.movToCr(4, cpu.registers.cr4 | CR4.SMEP), false, false],
  ['clearing EFER.NXE', (cpu: Vcpu) => cpu.wrmsr(0xc000_0080, cpu.registers.efer & ~EFER.NXE), false, false],
  ['setting CR4.UMIP', (cpu: Vcpu) => cpu.movToCr(4, cpu.registers.cr4 | CR4.UMIP), true, true],
  ['INVLPG of another page', (cpu: Vcpu) => cpu.invlpg(va(KERNEL + 0x9000n)), true, true],
] as const)('%s drops what it must', (_what, flush, own, global) => {
  const { one, tables } = pair();
  const other = va(KERNEL + 4096n);
  one.registers.cr4 &= ~CR4.SMEP;
  tables.map(KERNEL, 200, RW);
  tables.map(other, 201, RW | PTE.G);
  expect([stores(one), stores(one, other)]).toEqual([true, true]);
  tables.change(KERNEL, PTE.W);
  tables.change(other, PTE.W);
  expect(flush(one)).toMatchObject({ kind: 'done' });
  expect([stores(one), stores(one, other)]).toEqual([own, global]);
});

test('large pages are cached whole, and INVLPG of any address in them drops them', () => {
  const { one, tables } = pair();
  const huge = va(0xffff_8900_0000_0000n);
  tables.map(KERNEL, 512, RW, 0, 2);
  tables.map(huge, 0, RW, 0, 3);
  const end = va(KERNEL + 0x1f_f000n);
  expect([stores(one), stores(one, huge)]).toEqual([true, true]);
  tables.change(KERNEL, PTE.W, 0, 2);
  tables.change(huge, PTE.W, 0, 3);
  const far = va(huge + 0x80_0000n);
  expect([stores(one, end), stores(one, far)]).toEqual([true, true]);
  one.invlpg(va(KERNEL + 0x5000n));
  one.invlpg(va(huge + 0x3f00_0000n));
  expect([stores(one, end), stores(one, far)]).toEqual([false, false]);
});

test('INVLPG drops every piece of a large guest page that the second level maps in small ones', () => {
  for (const level of [2, 3] as const) {
    const secondLevel = new ListedSecondLevel();
    secondLevel.map(0, 4096);
    const { cpu, tables } = machine({ secondLevel });
    tables.map(KERNEL, level === 2 ? 512 : 0, RW, 0, level);
    const far = va(KERNEL + 0x10_0000n);
    expect([stores(cpu), stores(cpu, far)]).toEqual([true, true]);
    tables.change(KERNEL, PTE.W, 0, level);
    expect(stores(cpu, far)).toBe(true);
    cpu.invlpg(va(KERNEL + 0x5000n));
    expect(stores(cpu, far)).toBe(false);
  }
});

/** A kernel page behind a second level, all used once. */
function virtualized(root = 7): {
  cpu: Vcpu;
  secondLevel: ListedSecondLevel;
  tables: ReturnType<typeof machine>['tables'];
} {
  const secondLevel = new ListedSecondLevel();
  secondLevel.map(0, 128);
  secondLevel.map(200, 1);
  const { cpu, tables } = machine({
    secondLevel,
    root,
    onExit: () => ({ kind: 'inject', exception: { vector: 13, errorCode: 0 } }),
  });
  tables.map(KERNEL, 200, RW);
  expect([stores(cpu), fetches(cpu)]).toEqual([true, true]);
  return { cpu, secondLevel, tables };
}

test('second-level rights stay in force until INVEPT; nothing that the guest flushes, nor INVVPID, drops them', () => {
  const { cpu, secondLevel } = virtualized();
  secondLevel.map(200, 1, { read: true });
  expect([stores(cpu), fetches(cpu)]).toEqual([true, true]);
  cpu.invlpg(KERNEL);
  cpu.movToCr(3, cpu.registers.cr3);
  cpu.movToCr(4, cpu.registers.cr4 ^ CR4.PGE);
  cpu.invvpid({ type: 'all' });
  expect([stores(cpu), fetches(cpu)]).toEqual([true, true]);
  cpu.invept(8);
  expect([stores(cpu), fetches(cpu)]).toEqual([true, true]);
  cpu.invept(7);
  expect([stores(cpu), fetches(cpu), loads(cpu)]).toEqual([false, false, true]);
});

test('a right that the second level added is seen at once, and a violation drops what was cached', () => {
  const { cpu, secondLevel } = virtualized();
  secondLevel.map(200, 1, { read: true });
  cpu.invept();
  expect([loads(cpu), stores(cpu)]).toEqual([true, false]);
  secondLevel.map(200, 1);
  expect(stores(cpu)).toBe(true);
  secondLevel.map(200, 1, {});
  expect(loads(cpu)).toBe(true);
  cpu.invept();
  expect(loads(cpu)).toBe(false);
});

test('guest-physical mappings spare the second level, page tables included', () => {
  const { cpu, secondLevel } = virtualized();
  const { asked } = secondLevel;
  cpu.movToCr(3, cpu.registers.cr3);
  expect(loads(cpu)).toBe(true);
  expect(secondLevel.asked).toBe(asked);
});

test('INVVPID drops combined mappings by address, by VPID with and without global pages', () => {
  const { cpu, tables } = virtualized();
  const other = va(KERNEL + 4096n);
  const remap = (): void => {
    tables.map(KERNEL, 100, RW);
    tables.map(other, 101, RW | PTE.G);
    expect([stores(cpu), stores(cpu, other)]).toEqual([true, true]);
    tables.change(KERNEL, PTE.W);
    tables.change(other, PTE.W);
  };
  remap();
  cpu.invvpid({ type: 'single-context', vpid: 2 });
  cpu.invvpid({ type: 'address', vpid: 2, va: KERNEL });
  expect([stores(cpu), stores(cpu, other)]).toEqual([true, true]);
  cpu.invvpid({ type: 'address', vpid: 1, va: KERNEL });
  expect([stores(cpu), stores(cpu, other)]).toEqual([false, true]);
  remap();
  cpu.invvpid({ type: 'single-context-retaining-globals', vpid: 1 });
  expect([stores(cpu), stores(cpu, other)]).toEqual([false, true]);
  remap();
  cpu.invvpid({ type: 'single-context', vpid: 1 });
  expect([stores(cpu), stores(cpu, other)]).toEqual([false, false]);
});

test('cached mappings belong to a root: another view has its own, and coming back finds the old ones', () => {
  const { cpu, secondLevel } = virtualized();
  const view = new ListedSecondLevel();
  view.map(0, 128);
  view.map(200, 1, { read: true });
  cpu.useSecondLevel(view, 9);
  expect(cpu.secondLevel).toBe(view);
  expect([stores(cpu), loads(cpu)]).toEqual([false, true]);
  secondLevel.map(200, 1, { read: true });
  cpu.useSecondLevel(secondLevel, 7);
  expect(stores(cpu)).toBe(true);
  cpu.invept(7);
  expect(stores(cpu)).toBe(false);
  cpu.useSecondLevel(undefined, 0);
  expect(stores(cpu)).toBe(true);
});

test('another VPID sees nothing of the first; VPID 0 forgets at every exit', () => {
  const { cpu, tables } = virtualized();
  tables.change(KERNEL, PTE.W);
  cpu.controls.vpid = 2;
  expect(stores(cpu)).toBe(false);
  cpu.controls.vpid = 1;
  expect(stores(cpu)).toBe(true);
  cpu.controls.vpid = 0;
  tables.change(KERNEL, 0, RW);
  expect(stores(cpu)).toBe(true);
  tables.change(KERNEL, PTE.W);
  expect(stores(cpu)).toBe(true);
  cpu.vmcall();
  expect(stores(cpu)).toBe(false);
});

test('the mode of the linear address decides which execute right of the second level counts, not the CPL', () => {
  const secondLevel = new ListedSecondLevel();
  secondLevel.map(0, 128);
  secondLevel.map(200, 1, { read: true, xu: true });
  secondLevel.map(201, 1, { read: true, xs: true });
  const { cpu, tables } = machine({
    secondLevel,
    changes: { cr4: CR4.PAE },
    onExit: () => ({ kind: 'inject', exception: { vector: 14, errorCode: 0x11 } }),
  });
  tables.map(KERNEL, 200, RW);
  tables.map(USER, 200, RW | PTE.U);
  tables.map(KERNEL + 4096n, 201, RW);
  tables.map(USER + 4096n, 201, RW | PTE.U);
  const addresses = [KERNEL, USER, va(KERNEL + 4096n), va(USER + 4096n)];
  for (let twice = 0; twice < 2; twice++) {
    expect(addresses.map((address) => fetches(cpu, address))).toEqual([false, true, true, false]);
  }
  cpu.registers.cpl = 3;
  expect(fetches(cpu, USER)).toBe(true);
  cpu.registers.cpl = 0;
  cpu.registers.cr0 &= ~CR0.PG;
  cpu.registers.efer &= ~(EFER.LME | EFER.LMA);
  expect(fetches(cpu, va(200n << 12n))).toBe(true);
  expect(fetches(cpu, va(201n << 12n))).toBe(false);
});

test('registers that a VMM assigns flush; flushes of what was cached are told, with their cause', () => {
  const events: VcpuEvent[] = [];
  const { cpu, tables } = machine({ onEvent: (event) => events.push(event) });
  expect(events).toEqual([]);
  tables.map(KERNEL, 200, RW);
  stores(cpu);
  tables.change(KERNEL, PTE.W);
  cpu.registers.cr3 = cpu.registers.cr3 + 0n;
  expect(stores(cpu)).toBe(false);
  const causes = (): unknown[] =>
    events.flatMap((event) => (event.type === 'flush' ? [[event.cause, event.va]] : []));
  expect(causes()).toEqual([['set-registers', undefined]]);
  tables.change(KERNEL, 0, PTE.W);
  stores(cpu);
  cpu.invlpg(va(KERNEL + 0x123n));
  tables.change(KERNEL, PTE.W);
  loads(cpu);
  tables.change(KERNEL, PTE.P);
  stores(cpu);
  cpu.movToCr(3, cpu.registers.cr3);
  cpu.invept();
  expect(causes().slice(1)).toEqual([
    ['invlpg', KERNEL],
    ['fault', KERNEL],
    ['mov-to-cr3', undefined],
    ['invept', undefined],
  ]);
});

test('a flushed context never gets a tag that cached entries still carry', () => {
  let exhausted = 0;
  const tags = new TranslationTags({ clear: () => exhausted++ }, 8);
  const seen = new Set<number>();
  for (let i = 0; i < 6; i++) {
    tags.use(1, 1, 0);
    if (exhausted === 0) expect(seen.has(tags.own)).toBe(false);
    expect(tags.own).toBeLessThanOrEqual(8);
    expect(tags.global).toBeLessThanOrEqual(8);
    seen.add(tags.own);
    tags.forgetPcid(1, 0);
    tags.forgetGlobals(1);
  }
  expect(exhausted).toBe(1);
});

test('a root of HLAT paging that the hypervisor sets translates what its prefix covers, whatever CR3 says', () => {
  const { cpu, memory, tables } = machine();
  const hlat = new Tables(memory, 400);
  tables.map(KERNEL, 200, RW);
  hlat.map(KERNEL, 300, RW);
  cpu.store(KERNEL, 8, 1n);
  cpu.controls.hlat = { pointer: (hlat.root * 4096) as Gpa, prefixBits: 1 };
  cpu.invvpid({ type: 'all' });
  expect(cpu.load(KERNEL, 8)).toEqual({ kind: 'done', value: 0n });
  expect(cpu.load(va(KERNEL + 4096n), 8)).toMatchObject({ vector: 14, errorCode: 0x80 });
  cpu.controls.hlat = undefined;
  cpu.invvpid({ type: 'all' });
  expect(cpu.load(KERNEL, 8)).toEqual({ kind: 'done', value: 1n });
});

test('a kernel may use more PCIDs than have tags at once', () => {
  const { one, tables } = pair();
  const view = new ListedSecondLevel();
  view.map(0, 4096, ALL);
  tables.map(KERNEL, 200, RW);
  const root = one.registers.cr3;
  one.registers.cr4 |= CR4.PCIDE;
  for (let roots = 0; roots < 4; roots++) {
    one.useSecondLevel(view, roots);
    for (let pcid = 0; pcid < 4096; pcid++) {
      one.movToCr(3, root | BigInt(pcid) | (1n << 63n));
      expect(stores(one)).toBe(true);
    }
  }
  tables.change(KERNEL, PTE.W);
  expect(stores(one)).toBe(true);
  one.invlpg(KERNEL);
  expect(stores(one)).toBe(false);
});

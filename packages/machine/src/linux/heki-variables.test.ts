import { createKvm } from '@heki/kvm';
import type { KernelOutcome } from '@heki/linux';
import {
  type Gfn,
  type VirtualAddress,
  type VirtualFrame,
  virtualAddressOf,
  virtualFrameOf,
} from '@heki/physical-memory';
import { walkMappings } from '@heki/x86';
import { describe, expect, test } from 'vitest';
import { createAttacker, WRITABLE } from '../attacks/attacker.ts';
import { createLinuxMachine, type Profile, pcMemoryMap, switchHekiOff } from '../index.ts';

const PAGE = new Uint8Array(4096).fill(0x90);
const MODULE = { text: PAGE, rodata: PAGE };

/** A machine that has booted, and somebody who executes instructions in its kernel, and nothing else. */
function attackedMachine(profile: Profile) {
  const log: string[] = [];
  const machine = createLinuxMachine({
    hypervisor: createKvm({ profile }),
    memoryMap: pcMemoryMap(64 * 2 ** 20),
    profile,
    attackable: true,
    onEvent({ event }) {
      if (event.type === 'log') log.push(event.text);
    },
  });
  const { kernel, virtualMachine, memory } = machine;
  expect(kernel.boot().kind).toBe('done');
  const directMap = virtualAddressOf(kernel.layout.directMap);
  const attacker = createAttacker({ vcpu: kernel.vcpu, directMap, listen: () => () => {} });
  const frameOf = (address: VirtualAddress): Gfn => {
    const page = virtualFrameOf(address);
    let frame = 0 as Gfn;
    const tables = { memory, root: kernel.pageTableRoot, levels: kernel.layout.levels };
    walkMappings(tables, page, (page + 1) as VirtualFrame, ({ guestFrame, virtualFrame }) => {
      frame = (guestFrame + (page - virtualFrame)) as Gfn;
    });
    return frame;
  };
  return {
    ...machine,
    log,
    attacker,
    frameOf,
    /** What the second level grants to the kernel: `rw-`. */
    granted(frame: Gfn): string {
      const rights = virtualMachine.effectiveRights(frame);
      return `r${rights?.write ? 'w' : '-'}${rights?.supervisorExecute ? 'x' : '-'}`;
    },
    /** Stores to Heki's variables after their page was opened in the page tables: how the store ended. */
    storeToHeki(at: VirtualAddress, value: bigint): string {
      for (const entry of attacker.findEntries(at) ?? []) {
        attacker.store(entry.address, 8, entry.value | WRITABLE);
      }
      attacker.flush(at);
      return attacker.store(at, 8, value).step.outcome;
    },
    /** Hypercalls of protect_memory so far. */
    calls: (): number => virtualMachine.statistics.hypercalls.get(14) ?? 0,
    /** Loads a module; where its text and rodata are. */
    load(name: string): { text: Gfn; rodata: Gfn } {
      const { memory: parts } = value(kernel.loadModule({ name, memory: MODULE }));
      const frame = (part: 'text' | 'rodata') => frameOf(parts.get(part)?.address ?? directMap);
      return { text: frame('text'), rodata: frame('rodata') };
    },
    /** A page of the attacker's, in vmalloc space. */
    page: (): VirtualAddress => value(kernel.vmalloc(1)).address,
  };
}

function value<Value>(outcome: KernelOutcome<Value>): Value {
  if (outcome.kind !== 'done') throw new Error(`the kernel did not do it: ${outcome.kind}`);
  return outcome.value;
}

const after = (address: VirtualAddress, bytes: bigint): VirtualAddress => (address + bytes) as VirtualAddress;

/** Attacks `heki.protect_memory`. */
function switchOff({ kernel, attack }: ReturnType<typeof attackedMachine>) {
  const directMap = virtualAddressOf(kernel.layout.directMap);
  const targets = { directMap, text: undefined, textAlias: undefined, data: undefined };
  return attack(switchHekiOff(kernel.address('heki')), targets);
}

describe("Heki's variables (B-G17)", () => {
  test('are writable data as published, and immutable once mended', () => {
    const granted = (profile: Profile): string[] => {
      const { kernel, granted: of, frameOf } = attackedMachine(profile);
      return [of(frameOf(kernel.address('heki'))), of(frameOf(kernel.address('heki_hypervisor')))];
    };
    expect(granted('rfc-v2')).toEqual(['rw-', 'rw-']);
    expect(granted('hardened')).toEqual(['r--', 'r--']);
  });

  test('take a store at CPL 0 as published; once mended it ends in the second level, whatever the page tables say', () => {
    const rfc = switchOff(attackedMachine('rfc-v2'));
    expect(rfc).toMatchObject({ outcome: 'succeeded', by: null, reason: 'heki.protect_memory is 0' });
    const hardened = attackedMachine('hardened');
    expect(switchOff(hardened)).toMatchObject({
      outcome: 'blocked',
      by: 'second-level',
      decisive: { injected: true, exception: { vector: 14, errorCode: 3 } },
    });
    expect(hardened.heki.protectsMemory).toBe(true);
    const { kernel, storeToHeki } = hardened;
    expect([
      storeToHeki(kernel.address('heki'), 0n),
      storeToHeki(after(kernel.address('heki'), 16n), 0n),
      storeToHeki(kernel.address('heki_hypervisor'), 0n),
      storeToHeki(after(kernel.address('heki_hypervisor'), 8n), 0n),
    ]).toEqual(['exception', 'exception', 'exception', 'exception']);
  });
});

describe('a zero over heki.protect_memory', () => {
  test('silences the hooks: of a module that comes afterwards the second level never hears', () => {
    const machine = attackedMachine('rfc-v2');
    switchOff(machine);
    expect(machine.heki.protectsMemory).toBe(false);
    const before = machine.calls();
    const { text, rodata } = machine.load('after');
    expect(machine.calls()).toBe(before);
    // As the memory was that the module got: data. Its rodata can be written, and its text cannot run.
    expect([machine.granted(text), machine.granted(rodata)]).toEqual(['rw-', 'rw-']);
  });

  test('leaves pages their rights when a module goes', () => {
    const machine = attackedMachine('rfc-v2');
    const { text } = machine.load('before');
    expect(machine.granted(text)).toMatch(/x$/);
    switchOff(machine);
    value(machine.kernel.unloadModule('before'));
    expect(machine.granted(text)).toMatch(/x$/);
  });

  test('is not stored once mended, and modules are protected as before', () => {
    const machine = attackedMachine('hardened');
    switchOff(machine);
    const { text, rodata } = machine.load('after');
    expect([machine.granted(text), machine.granted(rodata)]).toEqual(['r-x', 'r--']);
    value(machine.kernel.unloadModule('after'));
    expect([machine.granted(text), machine.granted(rodata)]).toEqual(['rw-', 'rw-']);
  });
});

describe('heki.hypervisor', () => {
  test('as a null pointer makes the next hook oops', () => {
    const { kernel, attacker, page, log } = attackedMachine('rfc-v2');
    const area = page();
    attacker.store(kernel.address('heki'), 8, 0n);
    expect(kernel.setMemory('rox', area, 1)).toMatchObject({
      kind: 'oops',
      access: 'load',
      address: 8n,
      outcome: { kind: 'exception', vector: 14, errorCode: 0 },
    });
    expect(log).toContain('BUG: kernel NULL pointer dereference, address: 0000000000000008');
  });

  test("that points to the attacker's table leads the kernel to any of its text", () => {
    const { kernel, attacker, page, calls } = attackedMachine('rfc-v2');
    const [area, table] = [page(), page()];
    const gadget = after(kernel.address('_text'), 0x1230n);
    attacker.store(after(table, 8n), 8, gadget);
    attacker.store(kernel.address('heki'), 8, table);
    const before = calls();
    expect(kernel.setMemory('rox', area, 1)).toEqual({ kind: 'hijacked', address: gadget });
    expect(kernel.vcpu.registers.rip).toBe(gadget);
    expect(calls()).toBe(before);
  });

  test('does not lead it to data, which cannot be executed', () => {
    const { kernel, attacker, page, log } = attackedMachine('rfc-v2');
    const [area, table] = [page(), page()];
    attacker.store(after(table, 8n), 8, table);
    attacker.store(kernel.address('heki'), 8, table);
    expect(kernel.setMemory('rox', area, 1)).toMatchObject({ kind: 'oops', access: 'fetch', address: table });
    expect(log).toContain('kernel tried to execute NX-protected page - exploit attempt? (uid: 0)');
  });

  test('stays what it was once mended: hooks go on asking the hypervisor', () => {
    const { kernel, attacker, page, calls, granted, frameOf, storeToHeki } = attackedMachine('hardened');
    const [area, table] = [page(), page()];
    attacker.store(after(table, 8n), 8, after(kernel.address('_text'), 0x1230n));
    expect(storeToHeki(kernel.address('heki'), table)).toBe('exception');
    const before = calls();
    value(kernel.setMemory('ro', area, 1));
    expect(calls()).toBeGreaterThan(before);
    expect(granted(frameOf(area))).toBe('r--');
  });
});

test("the driver's table is data as well: another function of it in the place of protect_memory answers 0 to everything", () => {
  const { kernel, attacker, page, calls, granted, frameOf } = attackedMachine('rfc-v2');
  const area = page();
  attacker.store(after(kernel.address('heki_hypervisor'), 8n), 8, kernel.address('lock_crs'));
  const before = calls();
  value(kernel.setMemory('rox', area, 1));
  expect(calls()).toBe(before);
  expect(granted(frameOf(area))).toBe('rw-');
});

test('whoever edits page tables can still map other memory where the variables are: a limit of the design', () => {
  const { kernel, attacker, page, calls, load, frameOf } = attackedMachine('hardened');
  const heki = kernel.address('heki');
  const copy = page();
  attacker.store(after(copy, (heki % 4096n) + 16n), 8, 0n);
  const leaf = attacker.findEntries(heki)?.at(-1);
  if (leaf === undefined) throw new Error('nothing is mapped there');
  expect(leaf.level).toBe(1);
  const moved = (leaf.value & ~0xf_ffff_ffff_f000n) | (BigInt(frameOf(copy)) << 12n);
  attacker.store(leaf.address, 8, moved);
  attacker.flush(heki);
  const before = calls();
  load('after');
  expect(calls()).toBe(before);
});

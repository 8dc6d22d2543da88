import { type VirtualAddress, virtualAddressOf } from '@heki/physical-memory';
import type { Profile } from '@heki/series';
import { describe, expect, test } from 'vitest';
import { createAttacker, WRITABLE } from '../attacks/attacker.ts';
import { switchHekiOff } from '../attacks/switch-heki-off.ts';
import { bootMachine, done } from '../testing/booted-machine.ts';

/** A machine that has booted, and somebody who executes instructions in its kernel, and nothing else. */
function attackedMachine(profile: Profile) {
  const machine = bootMachine(profile, { attackable: true });
  const { vcpu, layout } = machine.kernel;
  const directMap = virtualAddressOf(layout.directMap);
  const attacker = createAttacker({
    vcpu,
    memory: machine.memory,
    directMap,
    askHypervisor: () => undefined,
    listen: () => () => {},
  });
  return {
    ...machine,
    attacker,
    /** Stores to Heki's variables after their page was opened in the page tables: how the store ended. */
    storeToHeki(at: VirtualAddress, value: bigint): string {
      for (const entry of attacker.findEntries(at) ?? []) {
        attacker.store(entry.address, 8, entry.value | WRITABLE);
      }
      attacker.flush(at);
      return attacker.store(at, 8, value).step.outcome;
    },
  };
}

const after = (address: VirtualAddress, bytes: bigint): VirtualAddress => (address + bytes) as VirtualAddress;

/** Attacks `heki.protect_memory`. */
function switchOff({ kernel, attack }: ReturnType<typeof attackedMachine>) {
  const directMap = virtualAddressOf(kernel.layout.directMap);
  const symbols = new Map([['heki', kernel.address('heki')]]);
  const targets = { directMap, text: undefined, textAlias: undefined, data: undefined, symbols };
  return attack(switchHekiOff, targets);
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
    const before = machine.protectCalls();
    const { text, rodata } = machine.loadModule('after');
    expect(machine.protectCalls()).toBe(before);
    // As the memory was that the module got: data. Its rodata can be written, and its text cannot run.
    expect([machine.granted(text), machine.granted(rodata)]).toEqual(['rw-', 'rw-']);
  });

  test('leaves pages their rights when a module goes', () => {
    const machine = attackedMachine('rfc-v2');
    const { text } = machine.loadModule('before');
    expect(machine.granted(text)).toMatch(/x$/);
    switchOff(machine);
    done(machine.kernel.unloadModule('before'));
    expect(machine.granted(text)).toMatch(/x$/);
  });

  test('is not stored once mended, and modules are protected as before', () => {
    const machine = attackedMachine('hardened');
    switchOff(machine);
    const { text, rodata } = machine.loadModule('after');
    expect([machine.granted(text), machine.granted(rodata)]).toEqual(['r-x', 'r--']);
    done(machine.kernel.unloadModule('after'));
    expect([machine.granted(text), machine.granted(rodata)]).toEqual(['rw-', 'rw-']);
  });
});

describe('heki.hypervisor', () => {
  test('as a null pointer makes the next hook oops', () => {
    const { kernel, attacker, vmallocPage, log } = attackedMachine('rfc-v2');
    const area = vmallocPage();
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
    const { kernel, attacker, vmallocPage, protectCalls } = attackedMachine('rfc-v2');
    const [area, table] = [vmallocPage(), vmallocPage()];
    const gadget = after(kernel.address('_text'), 0x1230n);
    attacker.store(after(table, 8n), 8, gadget);
    attacker.store(kernel.address('heki'), 8, table);
    const before = protectCalls();
    expect(kernel.setMemory('rox', area, 1)).toEqual({ kind: 'hijacked', address: gadget });
    expect(kernel.vcpu.registers.rip).toBe(gadget);
    expect(protectCalls()).toBe(before);
  });

  test('does not lead it to data, which cannot be executed', () => {
    const { kernel, attacker, vmallocPage, log } = attackedMachine('rfc-v2');
    const [area, table] = [vmallocPage(), vmallocPage()];
    attacker.store(after(table, 8n), 8, table);
    attacker.store(kernel.address('heki'), 8, table);
    expect(kernel.setMemory('rox', area, 1)).toMatchObject({ kind: 'oops', access: 'fetch', address: table });
    expect(log).toContain('kernel tried to execute NX-protected page - exploit attempt? (uid: 0)');
  });

  test('stays what it was once mended: hooks go on asking the hypervisor', () => {
    const { kernel, attacker, vmallocPage, protectCalls, granted, frameOf, storeToHeki } =
      attackedMachine('hardened');
    const [area, table] = [vmallocPage(), vmallocPage()];
    attacker.store(after(table, 8n), 8, after(kernel.address('_text'), 0x1230n));
    expect(storeToHeki(kernel.address('heki'), table)).toBe('exception');
    const before = protectCalls();
    done(kernel.setMemory('ro', area, 1));
    expect(protectCalls()).toBeGreaterThan(before);
    expect(granted(frameOf(area))).toBe('r--');
  });
});

test("the driver's table is data as well: another function of it in the place of protect_memory answers 0 to everything", () => {
  const { kernel, attacker, vmallocPage, protectCalls, granted, frameOf } = attackedMachine('rfc-v2');
  const area = vmallocPage();
  attacker.store(after(kernel.address('heki_hypervisor'), 8n), 8, kernel.address('lock_crs'));
  const before = protectCalls();
  done(kernel.setMemory('rox', area, 1));
  expect(protectCalls()).toBe(before);
  expect(granted(frameOf(area))).toBe('rw-');
});

test('whoever edits page tables can still map other memory where the variables are: a limit of the design', () => {
  const { kernel, attacker, vmallocPage, protectCalls, loadModule, frameOf } = attackedMachine('hardened');
  const heki = kernel.address('heki');
  const copy = vmallocPage();
  attacker.store(after(copy, (heki % 4096n) + 16n), 8, 0n);
  const leaf = attacker.findEntries(heki)?.at(-1);
  if (leaf === undefined) throw new Error('nothing is mapped there');
  expect(leaf.level).toBe(1);
  const moved = (leaf.value & ~0xf_ffff_ffff_f000n) | (BigInt(frameOf(copy)) << 12n);
  attacker.store(leaf.address, 8, moved);
  attacker.flush(heki);
  const before = protectCalls();
  loadModule('after');
  expect(protectCalls()).toBe(before);
});

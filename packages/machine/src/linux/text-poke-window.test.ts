import { createKvm } from '@heki/kvm';
import { SMALL_KERNEL } from '@heki/linux';
import type { Gfn, VirtualAddress } from '@heki/physical-memory';
import type { Profile } from '@heki/series';
import { entryFrame } from '@heki/x86';
import { expect, test } from 'vitest';
import { createLinuxMachine, pcMemoryMap } from '../index.ts';
import { keepImagePages } from '../testing/booted-machine.ts';

const VICTIM = 0x100n;
const PATCHED = 0x10;

/**
 * An attacker on the second processor makes a page of module text writable in the kernel's page tables, which are data, and
 * stores to it whenever the first processor is between two accesses of a text poke in that page: how his stores ended, in order, without
 * repetitions.
 */
function attackDuringPoke(profile: Profile): { attempts: string[]; byte: number } {
  let attack: (() => void) | undefined;
  const machine = createLinuxMachine({
    hypervisor: createKvm({ profile }),
    memoryMap: pcMemoryMap(32 * 2 ** 20),
    kernel: SMALL_KERNEL,
    profile,
    vcpus: 2,
    interleave: () => attack?.(),
  });
  const { kernel, memory } = machine;
  const [, attacker] = machine.vcpus;
  expect(kernel.boot().kind).toBe('done');
  keepImagePages(kernel);
  const text = new Uint8Array(4096).fill(0x90);
  const loaded = kernel.loadModule({ name: 'm', memory: { text } });
  if (loaded.kind !== 'done' || attacker === undefined) throw new Error('no module, or no second processor');
  const address = loaded.value.memory.get('text')?.address ?? (0n as VirtualAddress);

  // The entry of the text page, found and changed with plain accesses.
  const direct = BigInt(kernel.layout.directMap) << 12n;
  let table: Gfn = kernel.pageTableRoot;
  for (let level = 4; level > 1; level--) {
    const slot = Number((address >> BigInt(3 + 9 * level)) & 511n);
    const page = memory.page(table);
    table = entryFrame(page?.[2 * slot] ?? 0, page?.[2 * slot + 1] ?? 0);
  }
  const entry = (direct + BigInt(table) * 4096n + ((address >> 12n) & 511n) * 8n) as VirtualAddress;
  const leaf = attacker.load(entry, 8);
  if (leaf.kind !== 'done') throw new Error('no leaf');
  expect(attacker.store(entry, 8, leaf.value | 2n).kind).toBe('done');
  attacker.invlpg(address);

  const attempts: string[] = [];
  attack = () => {
    const { kind } = attacker.store((address + VICTIM) as VirtualAddress, 1, 0xccn);
    if (attempts.at(-1) !== kind) attempts.push(kind);
  };
  const outcome = kernel.textPoke((address + BigInt(PATCHED)) as VirtualAddress, Uint8Array.of(0xcc));
  attack();
  attack = undefined;
  expect(outcome.kind).toBe('done');
  const byte = attacker.load((address + VICTIM) as VirtualAddress, 1);
  return { attempts, byte: byte.kind === 'done' ? Number(byte.value) : -1 };
}

test('while one processor patches text, the page is writable for all of them', () => {
  const { attempts, byte } = attackDuringPoke('hardened');
  // Before and after, the second level forbids what the page tables allow; in between it cannot tell one store from another.
  expect(attempts).toEqual(['exception', 'done', 'exception']);
  expect(byte).toBe(0xcc);
});

test('under the published series the page stays writable after it (B-H1)', () => {
  expect(attackDuringPoke('rfc-v2').attempts).toEqual(['livelock', 'done']);
});

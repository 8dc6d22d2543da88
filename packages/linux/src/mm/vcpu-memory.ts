import {
  addressOf,
  type Gfn,
  PAGE_SIZE,
  PAGE_WORDS,
  type U64,
  type VirtualAddress,
  virtualAddressOf,
} from '@heki/physical-memory';
import type { Outcome, Vcpu } from '@heki/vcpu';
import { CR4, type StaleRange } from '@heki/x86';
import type { AddressLayout } from '../layout/layout.ts';
import { type KernelOutcome, KernelStop } from '../outcome.ts';
import type { SmpState } from '../smp/smp-state.ts';
import type { KernelMemory, TableMemory } from './kernel-memory.ts';

/** `tlb_single_page_flush_ceiling`: from more pages on everything is flushed (arch/x86/mm/tlb.c). */
const FLUSH_CEILING = 33;

/** After so many entries of one table it is cheaper to load the table. */
const SINGLE_READS = 8;

/** The value of a completed access. @throws {KernelStop} when it did not complete */
export function completed<Value>(
  outcome: Outcome<Value>,
  access: Extract<KernelOutcome, { kind: 'oops' }>['access'],
  address: VirtualAddress,
): Value {
  if (outcome.kind !== 'done') throw new KernelStop({ kind: 'oops', access, address, outcome });
  return outcome.value;
}

/**
 * Memory as the running kernel has it on `vcpu`: through the virtual CPU, page tables through the direct map. Flushes reach all that
 * are online. After each access, and each processor that was flushed, the other processors have their turn.
 */
export function createVcpuMemory(
  kernel: Pick<SmpState, 'layout' | 'processors' | 'turns'>,
  vcpu: Vcpu,
): KernelMemory {
  const { layout, processors, turns } = kernel;
  const done = <Value>(
    outcome: Outcome<Value>,
    access: Parameters<typeof completed>[1],
    address: VirtualAddress,
  ): Value => {
    const value = completed(outcome, access, address);
    turns.take();
    return value;
  };
  const access: Access = {
    load: (address, length) => done(vcpu.loadBytes(address, length), 'load', address),
    loadEntry: (address) => done(vcpu.load(address, 8), 'load', address),
    store(address, bytes) {
      done(vcpu.storeBytes(address, bytes), 'store', address);
    },
    storeEntry(address, entry) {
      done(vcpu.store(address, 8, entry), 'store', address);
    },
  };
  return {
    load: access.load,
    store: access.store,
    fetch: (address, length) => done(vcpu.fetch(address, length), 'fetch', address),
    tables: createTableMemory(layout, access),
    flush(stale) {
      const pages = stale === 'all' ? 0 : stale.reduce((sum, { start, end }) => sum + end - start, 0);
      // Every processor that runs the kernel is interrupted for it (on_each_cpu).
      for (const one of processors.online) {
        if (stale === 'all' || pages > FLUSH_CEILING) flushAll(one);
        else for (const range of stale) flushRange(one, range);
        turns.take();
      }
    },
  };
}

/** Accesses of the kernel. @throws {KernelStop} when one does not complete */
interface Access extends Pick<KernelMemory, 'load' | 'store'> {
  loadEntry(address: VirtualAddress): bigint;
  storeEntry(address: VirtualAddress, entry: bigint): void;
}

/**
 * Few entries of a table are loaded one by one. A table that is edited as a page, or read often, is loaded as a whole. What
 * changed is stored entry by entry at the end of the edit. Either way a kernel whose page tables cannot be
 * written any more notices at the store, and changes that somebody else made in memory are seen by the next edit.
 */
function createTableMemory(layout: AddressLayout, access: Access): TableMemory {
  const base = virtualAddressOf(layout.directMap);
  const addressIn = (frame: Gfn, offset: number): VirtualAddress =>
    (base + BigInt(addressOf(frame) + offset)) as VirtualAddress;
  const loaded = new Map<Gfn, Uint32Array>();
  /** What a page held before it was handed out for writing. */
  const before = new Map<Gfn, Uint32Array>();

  /** Entries of tables that are not loaded, to be stored at the end of the edit. */
  const pending = new Map<number, { readonly table: Gfn; readonly slot: number } & U64>();
  const keyOf = (table: Gfn, slot: number): number => table * 512 + slot;
  /** Entries read one by one in this edit, by table. */
  const reads = new Map<Gfn, number>();

  const page = (frame: Gfn): Uint32Array => {
    const known = loaded.get(frame);
    if (known !== undefined) return known;
    // What a processor loads is an array of its own.
    const words = new Uint32Array(access.load(addressIn(frame, 0), PAGE_SIZE).buffer);
    loaded.set(frame, words);
    for (const [key, { table, slot, low, high }] of pending) {
      if (table !== frame) continue;
      if (!before.has(frame)) before.set(frame, words.slice());
      words.set([low, high], 2 * slot);
      pending.delete(key);
    }
    return words;
  };

  const storeEntry = (frame: Gfn, entry: number, low: number, high: number): void => {
    access.storeEntry(addressIn(frame, 8 * entry), (BigInt(high) << 32n) | BigInt(low));
  };

  const storeChanged = (frame: Gfn, now: Uint32Array, then: Uint32Array): void => {
    for (let word = 0; word < PAGE_WORDS; word += 2) {
      const low = now[word] ?? 0;
      const high = now[word + 1] ?? 0;
      if (low !== then[word] || high !== then[word + 1]) storeEntry(frame, word / 2, low, high);
    }
  };

  const writablePage = (frame: Gfn): Uint32Array => {
    const words = page(frame);
    if (!before.has(frame)) before.set(frame, words.slice());
    return words;
  };

  const discard = (): void => {
    loaded.clear();
    before.clear();
    pending.clear();
    reads.clear();
  };

  return {
    page,
    writablePage,
    entry(table, slot) {
      const changed = pending.get(keyOf(table, slot));
      if (changed !== undefined) return { low: changed.low, high: changed.high };
      const count = reads.get(table) ?? 0;
      if (count >= SINGLE_READS || loaded.has(table)) {
        const words = page(table);
        return { low: words[2 * slot] ?? 0, high: words[2 * slot + 1] ?? 0 };
      }
      reads.set(table, count + 1);
      const entry = access.loadEntry(addressIn(table, 8 * slot));
      return { low: Number(entry & 0xffff_ffffn), high: Number(entry >> 32n) };
    },
    setEntry(table, slot, low, high) {
      if (loaded.has(table)) writablePage(table).set([low, high], 2 * slot);
      else pending.set(keyOf(table, slot), { table, slot, low, high });
    },
    commit(fresh) {
      for (const frame of fresh) {
        const words = loaded.get(frame);
        if (words !== undefined) access.store(addressIn(frame, 0), new Uint8Array(words.buffer));
      }
      for (const [frame, then] of before) {
        if (!fresh.has(frame)) storeChanged(frame, page(frame), then);
      }
      for (const { table, slot, low, high } of pending.values()) storeEntry(table, slot, low, high);
      discard();
    },
    discard,
  };
}

function flushRange(vcpu: Vcpu, { start, end }: StaleRange): void {
  for (let frame = start; frame < end; frame = (frame + 1) as typeof start) {
    const address = virtualAddressOf(frame);
    completed(vcpu.invlpg(address), 'instruction', address);
  }
}

/** `native_flush_tlb_global`: global pages too, by INVPCID, or by switching them off and on. */
function flushAll(vcpu: Vcpu): void {
  const { cr4, rip } = vcpu.registers;
  if ((vcpu.processor.cr4 & CR4.PCIDE) !== 0n) {
    completed(vcpu.invpcid(2, 0, rip), 'instruction', rip);
    return;
  }
  completed(vcpu.movToCr(4, cr4 & ~CR4.PGE), 'instruction', rip);
  completed(vcpu.movToCr(4, cr4), 'instruction', rip);
}

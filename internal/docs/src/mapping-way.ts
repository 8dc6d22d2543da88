import {
  MEM_ATTR_IMMUTABLE,
  PAGE_LIST_ENTRY_SIZE,
  PAGE_LIST_HEADER_SIZE,
  permissionText,
} from '@heki/hypercall/kvm';
import { formatRights } from '@heki/hypervisor';
import { createKvm, type KvmEvent } from '@heki/kvm';
import type { KernelOutcome } from '@heki/linux';
import { createLinuxMachine, describeTraceEvent, pcMemoryMap, type TraceEvent } from '@heki/machine';
import { type Gfn, type Gpa, hex, readBytes, type VirtualAddress } from '@heki/physical-memory';
import { PROFILES, type Profile } from '@heki/series';
import { translate } from '@heki/x86';
import { markdownTable, type Page, textBlock } from './page.ts';

/** One page of vmalloc's, from data to code: what `set_memory_rox` does to it. */
export const guestPage: Page = {
  file: 'docs/guest.md',
  parts: {
    tables: () => textBlock(way('hardened').tables),
    trace: () => textBlock(way('hardened').trace),
    'trace-rfc-v2': () => textBlock(way('rfc-v2').trace),
    counters: () =>
      markdownTable(
        ['', 'read', 'write', 'execute', 'permissions', 'second level'],
        PROFILES.flatMap((profile) => way(profile).counters),
      ),
    lists: () => textBlock(way('hardened').lists),
  },
};

/** The events of that change, in order, a line each. */
export function mappingTrace(profile: Profile): readonly string[] {
  return way(profile).trace;
}

interface Way {
  /** The entries that map the page, before and after. */
  readonly tables: readonly string[];
  readonly trace: readonly string[];
  readonly counters: readonly (readonly string[])[];
  /** Each page list, u64 by u64. */
  readonly lists: readonly string[];
}

const ways = new Map<Profile, Way>();

function way(profile: Profile): Way {
  const known = ways.get(profile) ?? go(profile);
  ways.set(profile, known);
  return known;
}

function go(profile: Profile): Way {
  const hypervisor = createKvm({ profile });
  const events: TraceEvent<KvmEvent>[] = [];
  const lists: string[] = [];
  const machine = createLinuxMachine({
    hypervisor,
    profile,
    memoryMap: pcMemoryMap(64 * 2 ** 20),
    onEvent(event) {
      events.push(event);
      if (event.from === 'guest' && event.event.type === 'page-list') {
        lists.push(...listLines(event.event.list), '');
      }
    },
  });
  const { kernel, memory, heki, virtualMachine } = machine;
  done(kernel.boot());
  const { address } = done(kernel.vmalloc(1));
  const frame = entriesOf(address).at(-1)?.frame ?? (0 as Gfn);

  function entriesOf(va: VirtualAddress) {
    const { registers, processor: cpu } = kernel.vcpu;
    const { steps } = translate(registers, memory, va, { kind: 'read', mode: 'supervisor' }, cpu);
    return steps.map(({ level, address: at, low, high }) => {
      const entry = (BigInt(high) << 32n) | BigInt(low);
      return { level, at, entry, frame: Number((entry >> 12n) & 0xff_ffff_ffffn) as Gfn };
    });
  }
  const tables = (): string[] =>
    entriesOf(address).map(
      ({ level, at, entry }) =>
        `level ${level}  ${hex(at).padEnd(11)} ${bytesOf(memory, at, 8)}  ${entry.toString(16).padStart(16, '0')}`,
    );
  const counters = (when: string): readonly string[] => {
    const { read = 0, write = 0, execute = 0 } = heki.counters(frame) ?? {};
    const rights = virtualMachine.effectiveRights(frame);
    return [
      `${profile}, ${when}`,
      ...[read, write, execute].map(String),
      permissionText(heki.permissions(frame)),
      rights === undefined ? '' : formatRights(rights),
    ];
  };
  function listLines(list: Gpa): string[] {
    const header = new DataView(bytesAt(machine.memory, list, PAGE_LIST_HEADER_SIZE).buffer);
    const size = PAGE_LIST_HEADER_SIZE + Number(header.getBigUint64(16, true)) * PAGE_LIST_ENTRY_SIZE;
    const lines: string[] = [];
    for (let at = 0; at < size; at += 8) {
      const inHeader = at < PAGE_LIST_HEADER_SIZE;
      const field =
        (inHeader ? ['next', 'next_pa', 'npages'] : ['pa', 'epa', 'permissions'])[(at % 24) / 8] ?? '';
      const value = new DataView(bytesAt(machine.memory, list + at, 8).buffer).getBigUint64(0, true);
      const final = (Number(value) & MEM_ATTR_IMMUTABLE) !== 0 ? ' immutable' : '';
      const meaning = field === 'permissions' ? `${permissionText(Number(value))}${final}` : '';
      lines.push(
        `${hex(list + at)}  ${bytesOf(machine.memory, list + at, 8)}  ${field.padEnd(11)} ${meaning}`.trimEnd(),
      );
    }
    return lines;
  }

  const before = { tables: tables(), counters: counters('before') };
  events.length = 0;
  lists.length = 0;
  done(kernel.setMemory('rox', address, 1));
  const trace = events.map((event) => describeTraceEvent(hypervisor, event));
  return {
    tables: [`${hex(address)}, before`, ...before.tables, '', `${hex(address)}, after`, ...tables()],
    trace,
    counters: [before.counters, counters('after')],
    lists: lists.slice(0, -1),
  };
}

function bytesAt(memory: Parameters<typeof readBytes<Gfn>>[0], at: number, count: number): Uint8Array {
  const bytes = new Uint8Array(count);
  readBytes<Gfn>(memory, at as Gpa, bytes);
  return bytes;
}

function bytesOf(memory: Parameters<typeof readBytes<Gfn>>[0], at: number, count: number): string {
  return Array.from(bytesAt(memory, at, count), (byte) => byte.toString(16).padStart(2, '0')).join(' ');
}

/** @throws {Error} when the kernel's function gave anything else */
function done<Value>(outcome: KernelOutcome<Value>): Value {
  if (outcome.kind !== 'done') throw new Error(`the kernel ended with ${JSON.stringify(outcome)}`);
  return outcome.value;
}
